import { Inject, Injectable } from '@nestjs/common';
import { Leadership } from '../kube/leadership.ts';
import { RolloutExecutors } from './rollout.executors.ts';
import { RolloutFactsReader } from './rollout.facts.reader.ts';
import { planRollout } from './rollout.plan.ts';
import { RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';

/**
 * Brings one rollout one step further: load, plan, ask devices, save the status once, tell people,
 * and look again when time alone changes what is to be done. Level-triggered: it may run at any
 * time, twice at once, and stop anywhere.
 */
@Injectable()
export class RolloutReconciler {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(RolloutFactsReader) private readonly facts: RolloutFactsReader,
    @Inject(RolloutExecutors) private readonly executors: RolloutExecutors,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(Leadership) private readonly leadership: Leadership,
  ) {}

  /** @throws NotLeader when this process may act no longer, half-way too. */
  async reconcile(name: string): Promise<void> {
    const record = await this.rollouts.findRecord(name);
    if (record === undefined) return;
    const { rollout, placed } = record;
    const facts = await this.facts.read({ rollout, members: placed.map(({ member }) => member) });
    const plan = planRollout(facts);
    for (const kind of ['SetDesired', 'SetPenalty', 'RecordRevision'] as const) {
      // A leader that was paused since it read the facts would ask devices for what was wanted then.
      this.leadership.fence();
      await this.executors.carryOut(name, kind, plan.actions);
    }
    const { status, members } = plan;
    this.leadership.fence();
    const saved = await this.rollouts.save(record, { status, members });
    if (saved === undefined) return this.wakeups.wakeOne(name);
    this.wakeups.wakeAt(name, plan.wakeAt);
    await this.executors.carryOut(name, 'EmitEvent', plan.actions);
  }
}
