import {
  type Artifact,
  type Device,
  LIMITS,
  type Member,
  type Model,
  type Rollout,
  type RolloutSpec,
  type Target,
} from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { wantedDeltas } from '../compression/delta.plan.ts';
import { DeviceStore } from '../devices/device.store.ts';
import { ModelStore } from '../models/model.store.ts';
import { artifactTarget, judgeVariants, type VariantsAcceptance } from './acceptance.plan.ts';
import { ChunkReuse } from './chunk.reuse.ts';
import { DELTA_WAIT_SECONDS_MAX, type OpenDelta } from './delta.wait.plan.ts';
import { footprintsOf } from './fitness.plan.ts';
import { RolloutStore } from './rollout.store.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { classPaces, type Predict, predictor } from './update.prediction.ts';
import { workDigest } from './work.digest.ts';

type ReadFacts = RolloutFacts & { readonly predict: Predict };

/** Reads what a plan decides from. */
@Injectable()
export class RolloutFactsReader {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(ChunkReuse) private readonly reuse: ChunkReuse,
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @param of.rollout stored, or as it would be stored. */
  async read(of: { rollout: Rollout; members: readonly Member[] }): Promise<ReadFacts> {
    const { spec, metadata } = of.rollout;
    const model = await this.models.find(spec.model);
    const artifacts = await this.artifactsOf(spec, model);
    const devices = await this.selected(spec);
    const earlier = await this.earlierArtifacts(devices, of.members);
    const candidates = judgeVariants(spec, model, artifacts);
    const now = this.clock.instant();
    return {
      rollout: of.rollout,
      members: of.members,
      model,
      artifacts,
      devices,
      others: (await this.rollouts.claims()).filter((claim) => claim.name !== metadata.name),
      footprints: footprintsOf(earlier),
      earlierTargets: await this.targetsOf(earlier),
      predict: await this.predictor(devices, candidates),
      specDigest: workDigest(spec, model),
      openDeltas: await this.openDeltas({ targets: [...artifacts.values()], bases: earlier, now }),
      now,
    };
  }

  /** What the spec names, else the model's status, for the variants it may use, by variant. */
  async artifactsOf(spec: RolloutSpec, model: Model | undefined): Promise<Map<string, Artifact>> {
    if (spec.artifactIds !== undefined) {
      const named = await this.artifacts.ofModel(spec.model, spec.artifactIds);
      return new Map(named.map((artifact) => [artifact.variant, artifact]));
    }
    const artifacts = new Map<string, Artifact>();
    for (const { name, artifactId } of model?.status.variants ?? []) {
      if (artifactId === null || (spec.variant !== null && spec.variant !== name)) continue;
      const key = { model: spec.model, variant: name, id: artifactId };
      const artifact = await this.artifacts.find(key);
      if (artifact !== undefined) artifacts.set(name, artifact);
    }
    return artifacts;
  }

  private async selected(spec: RolloutSpec): Promise<Device[]> {
    const devices: Device[] = [];
    for await (const device of this.devices.all(spec.selector)) devices.push(device);
    return devices;
  }

  /** Artifacts that devices run, or ran before this rollout, where they still exist. */
  private async earlierArtifacts(
    devices: readonly Device[],
    members: readonly Member[],
  ): Promise<Artifact[]> {
    const ids = new Set([
      ...devices.flatMap(({ status: { report } }) => [
        ...(report?.active == null ? [] : [report.active.artifactId]),
        ...(report?.restoring == null ? [] : [report.restoring.artifactId]),
      ]),
      ...members.flatMap(({ previous }) => previous?.artifactId ?? []),
    ]);
    const found = await Promise.all([...ids].map((id) => this.artifacts.findById(id)));
    return found.filter((artifact) => artifact !== undefined);
  }

  /** What going back to each of them means: to serve it as its model says today. */
  private async targetsOf(artifacts: readonly Artifact[]): Promise<Map<string, Target>> {
    const targets = new Map<string, Target>();
    for (const artifact of artifacts) {
      const model = await this.models.find(artifact.model);
      const contextLength = model?.spec.serving.contextLength ?? LIMITS.contextLengthDefault;
      targets.set(artifact.id, artifactTarget(artifact, { contextLength, samplePrompt: null }));
    }
    return targets;
  }

  /** Only of artifacts that are so young that their deltas may be waited for. */
  private async openDeltas(of: {
    targets: readonly Artifact[];
    bases: readonly Artifact[];
    now: string;
  }): Promise<OpenDelta[]> {
    const oldestMs = Date.parse(of.now) - DELTA_WAIT_SECONDS_MAX * 1000;
    const targets = of.targets.filter(({ createdAt }) => Date.parse(createdAt) > oldestMs);
    const madeAt = new Map(targets.map(({ id, createdAt }) => [id, createdAt]));
    const open: OpenDelta[] = [];
    for (const pair of wantedDeltas({ targets, bases: of.bases })) {
      const record = await this.deltas.find(pair);
      if (record !== undefined && record.state !== 'Making') continue;
      open.push({ ...pair, since: madeAt.get(pair.target) ?? of.now });
    }
    return open;
  }

  private async predictor(
    devices: readonly Device[],
    acceptance: VariantsAcceptance,
  ): Promise<Predict> {
    const targets =
      acceptance.kind === 'Accepted' ? acceptance.candidates.map(({ target }) => target) : [];
    const lackingBytes = await this.reuse.lackingBytes(devices, targets);
    return predictor({ lackingBytes, paces: classPaces(devices) });
  }
}
