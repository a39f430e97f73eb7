import type { Member, Rollout, rolloutInputSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { assertNew } from '../objects/object.input.ts';
import { initialStatus, resumed, retried } from './rollout.status.plan.ts';
import { type RolloutChange, RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';

export type RolloutInput = z.infer<typeof rolloutInputSchema>;

/** What a client can do with rollouts. Every change enqueues the rollouts it may concern. */
@Injectable()
export class RolloutService {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
  ) {}

  /** @throws Unprocessable with a `resourceVersion`; Conflict when the name is taken. */
  async create(input: RolloutInput): Promise<Rollout> {
    assertNew(input);
    const { name, labels } = input.metadata;
    const status = initialStatus();
    const rollout = await this.rollouts.create({ name, labels, spec: input.spec, status });
    this.wakeups.wakeOne(name);
    return rollout;
  }

  /**
   * Creates the rollout or brings it to this spec; doing it twice changes nothing more.
   * @throws Conflict for a `resourceVersion` that is not current.
   */
  async apply(input: RolloutInput): Promise<{ rollout: Rollout; created: boolean }> {
    const { name, labels, resourceVersion } = input.metadata;
    if (resourceVersion === undefined && (await this.rollouts.find(name)) === undefined) {
      return { rollout: await this.create(input), created: true };
    }
    const { spec } = input;
    const rollout = await this.rollouts.updateSpec(name, { spec, labels, resourceVersion });
    // Another selector may leave devices to other rollouts.
    await this.wakeups.wakeAll();
    return { rollout, created: false };
  }

  /** Devices keep what they run. @throws NotFound, Conflict */
  async remove(name: string, resourceVersion: string | undefined): Promise<void> {
    await this.rollouts.delete(name, { resourceVersion });
    await this.wakeups.wakeAll();
  }

  pause(name: string): Promise<Rollout> {
    return this.act(name, ({ spec }) => ({ spec: { ...spec, paused: true } }));
  }

  resume(name: string): Promise<Rollout> {
    return this.act(name, ({ spec, status }, members) => ({
      spec: { ...spec, paused: false },
      ...resumed({ status, members }),
    }));
  }

  retry(name: string): Promise<Rollout> {
    return this.act(name, ({ status }, members) => retried({ status, members }));
  }

  private async act(
    name: string,
    change: (rollout: Rollout, members: readonly Member[]) => RolloutChange,
  ): Promise<Rollout> {
    const rollout = await this.rollouts.updateRecord(name, change);
    this.wakeups.wakeOne(name);
    return rollout;
  }
}
