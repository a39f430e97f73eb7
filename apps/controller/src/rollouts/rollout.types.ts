import type {
  Artifact,
  Device,
  FleetEvent,
  Member,
  Model,
  Rollout,
  RolloutStatus,
  Target,
} from '@entrofleet/protocol';
import type { RolloutClaim } from './ownership.plan.ts';

/** How far a rollout has come. Members are in the order in which they go. */
export interface RolloutProgress {
  readonly status: RolloutStatus;
  readonly members: readonly Member[];
}

/** Everything that a plan decides from. */
export interface RolloutFacts {
  readonly rollout: Rollout;
  /** In the order in which they go. */
  readonly members: readonly Member[];
  readonly model: Model | undefined;
  /** What the model's status names for the variant. */
  readonly artifact: Artifact | undefined;
  /** The devices that the selector matches. */
  readonly devices: readonly Device[];
  readonly others: readonly RolloutClaim[];
  /** Memory in bytes of the artifacts that devices run, by artifact id. */
  readonly footprints: ReadonlyMap<string, number>;
  /** Changes when devices have something else to do; see workDigest. */
  readonly specDigest: string;
  readonly now: string;
}

/** What a plan wants done; each kind is carried out by one executor. */
export type RolloutAction =
  | {
      readonly kind: 'SetDesired';
      readonly device: string;
      readonly rollout: string;
      readonly attempt: number;
      readonly target: Target;
      /** Revision the plan has seen; with another one the world has moved and nothing is done. */
      readonly seenRevision: number;
    }
  | {
      readonly kind: 'EmitEvent';
      readonly type: FleetEvent['type'];
      readonly reason: string;
      readonly message: string;
    };

export interface RolloutPlan extends RolloutProgress {
  readonly actions: readonly RolloutAction[];
}
