import type { Phase } from '@entrofleet/protocol';
import type { Failure } from './errors.ts';
import { needed } from './kept.artifacts.ts';
import type { Effect, Situation } from './update.states.ts';

/** First wait before a lost model is tried again, and the longest. */
const RECOVERY_MS = 5000;
const RECOVERY_MAX_MS = 600_000;

/** States that may last long, and need the memory for nothing else. */
const RECOVERING: ReadonlySet<Phase> = new Set(['Downloading', 'Staged', 'Failed']);

/** @param tries that came to nothing so far. */
export function recoveryDelayMs(tries: number, firstMs = RECOVERY_MS): number {
  return Math.min(RECOVERY_MAX_MS, firstMs * 2 ** Math.min(tries, 30));
}

/** The model that served cannot be loaded again. One that was lost before it is the better known. */
export function lostNow(situation: Situation, failure: Failure): Situation['lost'] {
  const { lost, active } = situation;
  return lost ?? (active && { target: active, tries: 0, failure });
}

/** What does without the lost model, or waits, does not hinder it from being tried again. */
export function recovery(situation: Situation): Effect[] {
  const { lost, active, state } = situation;
  if (lost === null || active !== null || !RECOVERING.has(state)) return [];
  const { target, tries } = lost;
  // Only one download at a time.
  const mends = state === 'Failed';
  return [{ kind: 'Recover', target, tries, mends, keep: needed(situation) }];
}

/** A start during which the agent died counts as a try: the model may have taken it down. */
export function lostAfterStart({ lost }: Situation, { clean }: { clean: boolean }) {
  return lost && { ...lost, tries: clean ? 0 : lost.tries + 1 };
}
