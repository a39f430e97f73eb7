import { Inject, Injectable } from '@nestjs/common';
import { DesiredStates } from '../devices/desired.states.ts';
import { EventStore } from '../events/event.store.ts';
import { DeltaOffers } from './delta.offers.ts';
import type { RolloutAction } from './rollout.types.ts';

type ActionOf<K extends RolloutAction['kind']> = Extract<RolloutAction, { kind: K }>;
type Table = {
  readonly [K in RolloutAction['kind']]: (
    rollout: string,
    actions: readonly ActionOf<K>[],
  ) => Promise<void>;
};

/** The table of effects: how actions of each kind are carried out. Any may run twice. */
@Injectable()
export class RolloutExecutors {
  readonly #table: Table;

  constructor(
    @Inject(DesiredStates) desired: DesiredStates,
    @Inject(EventStore) events: EventStore,
    @Inject(DeltaOffers) deltas: DeltaOffers,
  ) {
    this.#table = {
      SetDesired: async (_rollout, actions) =>
        desired.set(await deltas.addTo(actions.map(({ kind, ...change }) => change))),
      EmitEvent: async (rollout, actions) => {
        const object = { kind: 'Rollout', name: rollout } as const;
        for (const { kind, ...event } of actions) await events.record({ object, ...event });
      },
    };
  }

  /** Carries out the actions of one kind, in order. */
  async carryOut<K extends RolloutAction['kind']>(
    rollout: string,
    kind: K,
    actions: readonly RolloutAction[],
  ): Promise<void> {
    const ofKind = actions.filter((action): action is ActionOf<K> => action.kind === kind);
    if (ofKind.length > 0) await this.#table[kind](rollout, ofKind);
  }
}
