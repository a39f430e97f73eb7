import { Inject, Injectable } from '@nestjs/common';
import { DesiredStates } from '../devices/desired.states.ts';
import { EventStore } from '../events/event.store.ts';
import type { RolloutAction } from './rollout.types.ts';

type ActionOf<K extends RolloutAction['kind']> = Extract<RolloutAction, { kind: K }>;
type Table = {
  readonly [K in RolloutAction['kind']]: (rollout: string, action: ActionOf<K>) => Promise<void>;
};

/** The table of effects: how each kind of action is carried out. Any may run twice. */
@Injectable()
export class RolloutExecutors {
  readonly #table: Table;

  constructor(
    @Inject(DesiredStates) desired: DesiredStates,
    @Inject(EventStore) events: EventStore,
  ) {
    this.#table = {
      SetDesired: (_rollout, action) => desired.set(action),
      EmitEvent: (rollout, { type, reason, message }) =>
        events.record({ object: { kind: 'Rollout', name: rollout }, type, reason, message }),
    };
  }

  /** Carries out the actions of one kind, in order. */
  async carryOut<K extends RolloutAction['kind']>(
    rollout: string,
    kind: K,
    actions: readonly RolloutAction[],
  ): Promise<void> {
    const ofKind = actions.filter((action): action is ActionOf<K> => action.kind === kind);
    for (const action of ofKind) await this.#table[kind](rollout, action);
  }
}
