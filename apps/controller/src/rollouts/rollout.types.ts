import type {
  Artifact,
  Desired,
  Device,
  DeviceStatus,
  FleetEvent,
  Hold,
  Member,
  Model,
  RevisionOutcome,
  Rollout,
  RolloutSpec,
  RolloutStatus,
  Target,
} from '@entrofleet/protocol';
import type { OpenDelta } from './delta.wait.plan.ts';
import type { Footprints } from './fitness.plan.ts';
import type { RolloutClaim } from './ownership.plan.ts';
import type { Stall } from './stall.plan.ts';
import type { Predict } from './update.prediction.ts';

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
  /** What the model's status names for the variants that the rollout may use, by variant. */
  readonly artifacts: ReadonlyMap<string, Artifact>;
  /** The devices that the selector matches. */
  readonly devices: readonly Device[];
  readonly others: readonly RolloutClaim[];
  /** Of the artifacts that devices run. */
  readonly footprints: Footprints;
  /** What devices can go back to, by artifact id. */
  readonly earlierTargets: ReadonlyMap<string, Target>;
  /** What an update will cost, where that can be told. */
  readonly predict?: Predict;
  /** Deltas to what is rolled out that are still being made; absent: none is. */
  readonly openDeltas?: readonly OpenDelta[];
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
      /** `null`: run no model. */
      readonly target: Target | null;
      readonly hold: Hold;
      readonly timeouts?: Desired['timeouts'];
      readonly onAbandon?: Desired['onAbandon'];
      /** What the device goes back to from the target; stored with what is asked. */
      readonly previous: Member['previous'];
      /** Revision the plan has seen; with another one the world has moved and nothing is done. */
      readonly seenRevision: number;
    }
  | {
      readonly kind: 'SetPenalty';
      readonly device: string;
      /** `null`: the device is well again. */
      readonly penalty: NonNullable<DeviceStatus['penalty']> | null;
    }
  | {
      readonly kind: 'RecordRevision';
      readonly revision: number;
      readonly spec: RolloutSpec;
      readonly artifactIds: readonly string[];
      readonly outcome: RevisionOutcome;
    }
  | {
      readonly kind: 'EmitEvent';
      readonly type: FleetEvent['type'];
      readonly reason: string;
      readonly message: string;
    };

/** A revision that is begun, or goes on. */
export interface TakenUp extends RolloutProgress {
  /** The models that devices ran before an earlier revision that asked them for the same. */
  readonly ranBefore: ReadonlyMap<string, Member['previous']>;
}

/** What is decided for the devices, before it is summed up. */
export interface Course extends RolloutProgress {
  readonly actions: readonly RolloutAction[];
  /** What does not go on, the most important first. */
  readonly stalls: readonly Stall[];
  /** Devices that are at work, or were just let go on. */
  readonly moving: number;
  readonly wakeAt: string | null;
}

export interface RolloutPlan extends RolloutProgress {
  readonly actions: readonly RolloutAction[];
  /** When time alone changes what is to be done; `null`: never. */
  readonly wakeAt: string | null;
}
