import {
  type Artifact,
  type Device,
  LIMITS,
  type Member,
  type Model,
  type Rollout,
  type RolloutSpec,
} from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeviceStore } from '../devices/device.store.ts';
import { ModelStore } from '../models/model.store.ts';
import { RolloutStore } from './rollout.store.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { workDigest } from './work.digest.ts';

/** Reads what a plan decides from. */
@Injectable()
export class RolloutFactsReader {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @param of.rollout stored, or as it would be stored. */
  async read(of: { rollout: Rollout; members: readonly Member[] }): Promise<RolloutFacts> {
    const { spec, metadata } = of.rollout;
    const model = await this.models.find(spec.model);
    const artifacts = await this.artifactsOf(spec, model);
    const devices = await this.selected(spec);
    return {
      rollout: of.rollout,
      members: of.members,
      model,
      artifact: spec.variant === null ? undefined : artifacts.get(spec.variant),
      devices,
      others: (await this.rollouts.claims()).filter((claim) => claim.name !== metadata.name),
      footprints: await this.footprints(devices),
      specDigest: workDigest(spec, model),
      now: this.clock.instant(),
    };
  }

  /** What the model's status names for the variants that the rollout may use, by variant. */
  async artifactsOf(spec: RolloutSpec, model: Model | undefined): Promise<Map<string, Artifact>> {
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

  private async footprints(devices: readonly Device[]): Promise<Map<string, number>> {
    const ids = new Set(devices.flatMap((d) => d.status.report?.active?.artifactId ?? []));
    const footprints = new Map<string, number>();
    for (const id of ids) {
      const artifact = await this.artifacts.findById(id);
      if (artifact === undefined) continue;
      const contextLength = Math.min(artifact.contextLength, LIMITS.contextLengthDefault);
      const cacheBytes = contextLength * artifact.kvCacheBytesPerToken;
      footprints.set(id, artifact.memoryBytes + cacheBytes);
    }
    return footprints;
  }
}
