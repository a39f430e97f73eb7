import { type Artifact, type Device, LIMITS, type RolloutSpec } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeviceStore } from '../devices/device.store.ts';
import { ModelStore } from '../models/model.store.ts';
import { RolloutExecutors } from './rollout.executors.ts';
import { planRollout } from './rollout.plan.ts';
import { type RolloutRecord, RolloutStore } from './rollout.store.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';
import { workDigest } from './work.digest.ts';

/**
 * Brings one rollout one step further: load, plan, ask devices, save the status once, tell people.
 * Level-triggered: it may run at any time, twice at once, and stop anywhere.
 */
@Injectable()
export class RolloutReconciler {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(RolloutExecutors) private readonly executors: RolloutExecutors,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  async reconcile(name: string): Promise<void> {
    const record = await this.rollouts.findRecord(name);
    if (record === undefined) return;
    const facts = await this.load(record);
    const plan = planRollout(facts);
    await this.executors.carryOut(name, 'SetDesired', plan.actions);
    const { status, members } = plan;
    const saved = await this.rollouts.save(record, { status, members });
    if (saved !== undefined) await this.executors.carryOut(name, 'EmitEvent', plan.actions);
    else this.wakeups.wakeOne(name);
  }

  private async load({ rollout, placed }: RolloutRecord): Promise<RolloutFacts> {
    const { spec } = rollout;
    const { name } = rollout.metadata;
    const model = await this.models.find(spec.model);
    const variant = model?.status.variants.find((v) => v.name === spec.variant);
    const devices = await this.selected(spec);
    return {
      rollout,
      members: placed.map(({ member }) => member),
      model,
      artifact: await this.artifactOf(spec, variant?.artifactId ?? null),
      devices,
      others: (await this.rollouts.claims()).filter((claim) => claim.name !== name),
      footprints: await this.footprints(devices),
      specDigest: workDigest(spec, model),
      now: this.clock.instant(),
    };
  }

  private async selected(spec: RolloutSpec): Promise<Device[]> {
    const devices: Device[] = [];
    for await (const device of this.devices.all(spec.selector)) devices.push(device);
    return devices;
  }

  private async artifactOf(spec: RolloutSpec, id: string | null): Promise<Artifact | undefined> {
    if (id === null || spec.variant === null) return undefined;
    return this.artifacts.find({ model: spec.model, variant: spec.variant, id });
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
