/** How a list or a watch came to its end. */
export type WatchOutcome =
  | { readonly kind: 'Listed'; readonly resourceVersion: string }
  | { readonly kind: 'ListFailed' }
  /** Ended by the server, given up because nothing was heard, or broken. */
  | {
      readonly kind: 'Ended' | 'Silent' | 'Failed';
      /** As far as it was heard. */
      readonly resourceVersion: string;
      /** At least one event or bookmark came. */
      readonly heard: boolean;
      readonly lastedMs: number;
    }
  /** History, or a part of it, cannot be had any more: only a list helps. */
  | { readonly kind: 'Lost'; readonly heard: boolean };

export interface WatchState {
  /** To go on from; `undefined`: only a list helps. */
  readonly resourceVersion: string | undefined;
  /** In a row, without anything heard in between. */
  readonly failures: number;
  /** The last thing that happened was a list that succeeded. */
  readonly isFresh: boolean;
  /** Monotonic time of the next list though nothing is wrong. */
  readonly resyncAtMs: number;
}

export interface WatchTiming {
  readonly resyncMs: number;
  readonly firstBackoffMs: number;
  readonly lastBackoffMs: number;
  /** After so many failures in a row, history is not trusted any more. */
  readonly failuresToList: number;
}

export type WatchStep =
  | { readonly kind: 'List'; readonly delayMs: number }
  | {
      readonly kind: 'Watch';
      readonly delayMs: number;
      readonly resourceVersion: string;
      /** Until a list is due, which is when the server is to end the watch. */
      readonly lifeMs: number;
    };

export const NEW_WATCH: WatchState = {
  resourceVersion: undefined,
  failures: 0,
  isFresh: false,
  resyncAtMs: 0,
};

/** A watch for less is not worth its request. */
const LIFE_MS = 1000;
/** Whoever ends a watch sooner without a word does not mean it well. */
const SHORT_MS = 5000;

export function afterOutcome(
  state: WatchState,
  outcome: WatchOutcome,
  now: { readonly nowMs: number; readonly timing: WatchTiming },
): WatchState {
  const { timing } = now;
  if (outcome.kind === 'Listed') {
    // Failures stay: a watch that fails after every list must not be tried for ever at full speed.
    const { resourceVersion } = outcome;
    return { ...state, resourceVersion, isFresh: true, resyncAtMs: now.nowMs + timing.resyncMs };
  }
  if (outcome.kind === 'ListFailed') {
    return { ...state, isFresh: false, failures: state.failures + 1 };
  }
  const failures = (outcome.heard ? 0 : state.failures) + 1;
  if (outcome.kind === 'Lost') {
    return { ...state, isFresh: false, failures, resourceVersion: undefined };
  }
  const { resourceVersion, heard, lastedMs } = outcome;
  const isFailure =
    outcome.kind === 'Failed' || (outcome.kind === 'Ended' && !heard && lastedMs < SHORT_MS);
  // Silence has cost its time already, and an end by the server is as it should be.
  if (!isFailure) return { ...state, isFresh: false, failures: 0, resourceVersion };
  const isDoubtful = failures % timing.failuresToList === 0;
  return {
    ...state,
    isFresh: false,
    failures,
    resourceVersion: isDoubtful ? undefined : resourceVersion,
  };
}

/** @param now `jitter`: from 0 to 1, anew each time. */
export function nextWatchStep(
  state: WatchState,
  now: { readonly nowMs: number; readonly timing: WatchTiming; readonly jitter: number },
): WatchStep {
  const { resourceVersion, failures, isFresh } = state;
  const { firstBackoffMs, lastBackoffMs } = now.timing;
  const backoffMs = Math.min(lastBackoffMs, firstBackoffMs * 2 ** (failures - 1));
  const delayMs = failures === 0 || isFresh ? 0 : backoffMs * (0.5 + now.jitter / 2);
  const lifeMs = state.resyncAtMs - now.nowMs - delayMs;
  if (resourceVersion === undefined || lifeMs < LIFE_MS) return { kind: 'List', delayMs };
  return { kind: 'Watch', delayMs, resourceVersion, lifeMs };
}
