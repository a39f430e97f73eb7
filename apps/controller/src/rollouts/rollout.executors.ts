import { Inject, Injectable } from '@nestjs/common';
import { DesiredStates } from '../devices/desired.states.ts';
import { DeviceStore } from '../devices/device.store.ts';
import { EventStore } from '../events/event.store.ts';
import { DeltaOffers } from './delta.offers.ts';
import { RevisionStore } from './revision.store.ts';
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
    @Inject(DeviceStore) devices: DeviceStore,
    @Inject(EventStore) events: EventStore,
    @Inject(DeltaOffers) deltas: DeltaOffers,
    @Inject(RevisionStore) revisions: RevisionStore,
  ) {
    this.#table = {
      SetDesired: async (_rollout, actions) =>
        desired.set(await deltas.addTo(actions.map(({ kind, ...change }) => change))),
      SetPenalty: async (_rollout, actions) =>
        devices.setPenalties(actions.map(({ kind, ...change }) => change)),
      RecordRevision: async (rollout, actions) => {
        for (const { kind, ...revision } of actions) await revisions.record(rollout, revision);
      },
      EmitEvent: async (rollout, actions) => {
        const object = { kind: 'Rollout', name: rollout } as const;
        await events.recordAll(
          object,
          actions.map(({ kind, ...event }) => event),
        );
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
