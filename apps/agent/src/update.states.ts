import type { Desired, Phase, Target } from '@entrofleet/protocol';
import type { Failure } from './errors.ts';

/**
 * Everything that decides what the agent does next. It is journaled before anything is done about
 * it, so that a new process finds out from it where the last one was.
 */
export interface Situation {
  readonly state: Phase;
  /** The newest desired state accepted; the update in progress is about its target. */
  readonly desired: Desired | null;
  /** A newer one that waits until the update in progress has ended, as it asks for. */
  readonly next: Desired | null;
  /** The model that serves, or that is being loaded again after a start. */
  readonly active: Target | null;
  /** The model that served before; its artifact is kept for a quick way back. */
  readonly previous: Target | null;
  /** The active model is being loaded after a start; steps of the update wait for it. */
  readonly restoring: boolean;
  /** Starts of the agent that tried to load the active model and did not live to tell. */
  readonly restoreStarts: number;
  /** Times the agent died while the new model was being decoded, tested or activated. */
  readonly crashes: number;
  /**
   * Chunks may be decoded while others are still fetched. Not any more after the agent has died
   * during this update: what takes it down shall do so in a state that counts it.
   */
  readonly loadAhead: boolean;
  /** Times a downloaded artifact was found damaged on disk and mended by fetching again. */
  readonly repairs: number;
  readonly failure: Failure | null;
  /** The active model is new: when it does not hold, the one before it serves again. */
  readonly trial: {
    /** Times the agent died while it served. */
    readonly crashes: number;
  } | null;
  /**
   * The model that served last and cannot be loaded again, until it can, or another one serves. It
   * is tried again as long as none serves.
   */
  readonly lost: {
    readonly target: Target;
    /** That came to nothing since it was lost. */
    readonly tries: number;
    readonly failure: Failure;
  } | null;
  /** The model that was given up after it had served, and why. */
  readonly rolledBack: (Failure & { readonly from: Target }) | null;
}

export const INITIAL_SITUATION: Situation = {
  state: 'Idle',
  desired: null,
  next: null,
  active: null,
  previous: null,
  restoring: false,
  restoreStarts: 0,
  crashes: 0,
  loadAhead: true,
  repairs: 0,
  failure: null,
  trial: null,
  lost: null,
  rolledBack: null,
};

/** What can happen to an update. A step that was cancelled sends no event. */
export type UpdateEvent =
  | { readonly kind: 'DesiredReceived'; readonly desired: Desired }
  | { readonly kind: 'Downloaded' }
  | { readonly kind: 'Verified' }
  | { readonly kind: 'FoundDamaged'; readonly message: string }
  | { readonly kind: 'Loaded' }
  | { readonly kind: 'Tested' }
  | { readonly kind: 'Switched' }
  | { readonly kind: 'StepFailed'; readonly failure: Failure }
  | { readonly kind: 'Restored' }
  | { readonly kind: 'RestoreFailed'; readonly failure: Failure }
  | { readonly kind: 'Recovered' }
  | { readonly kind: 'RecoverFailed'; readonly failure: Failure }
  /** The model that serves fails one request after the other. */
  | { readonly kind: 'ServingFailed'; readonly failure: Failure }
  /** The new model has served for long enough. */
  | { readonly kind: 'TrialPassed' };

export type UpdateEventKind = UpdateEvent['kind'];

/** What the agent shall do; each is carried out by one executor. */
export type Effect =
  /**
   * Fetch what is lacking of the target's artifact; when the disk is full, artifacts other than
   * `keep` go first. Ends with Downloaded.
   */
  | {
      readonly kind: 'Download';
      readonly target: Target;
      readonly keep: readonly string[];
      /** What has come may be decoded at once; Load takes it over. */
      readonly loadAhead: boolean;
    }
  /** Check every chunk on disk. Ends with Verified or FoundDamaged. */
  | { readonly kind: 'Verify'; readonly target: Target }
  /** Decode the artifact into memory, as the candidate. Ends with Loaded. */
  | { readonly kind: 'Load'; readonly target: Target }
  /** Run the probe on the candidate. Ends with Tested. */
  | { readonly kind: 'Test'; readonly target: Target }
  /** Let the candidate serve from now on. Ends with Switched. */
  | { readonly kind: 'Switch'; readonly target: Target }
  /** Load a model that served before and serve it. Ends with Restored or RestoreFailed. */
  | { readonly kind: 'Restore'; readonly target: Target }
  /**
   * Load a model that was lost, after a pause, and serve it. With `mends`, what is damaged of its
   * artifact is fetched first. Ends with Recovered or RecoverFailed.
   */
  | {
      readonly kind: 'Recover';
      readonly target: Target;
      readonly tries: number;
      readonly mends: boolean;
      readonly keep: readonly string[];
    }
  /** Stop the running step of the update; it sends no event any more. */
  | { readonly kind: 'CancelStep' }
  /** Forget the candidate and its memory, and what was decoded ahead of it. */
  | { readonly kind: 'DropCandidate' }
  /** Serve no model any more, and stop restoring or recovering one. */
  | { readonly kind: 'StopServing' }
  /** Delete stored artifacts other than these. */
  | { readonly kind: 'Collect'; readonly keep: readonly string[] }
  /** Say the reported state again although nothing has changed. */
  | { readonly kind: 'Publish' };

export interface Outcome {
  readonly situation: Situation;
  readonly effects: readonly Effect[];
}
