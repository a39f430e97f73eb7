import type { Target } from '@entrofleet/protocol';
import type { Situation } from './update.states.ts';

/** Artifacts that stay on disk: what serves, or is lost, what served before, what is wanted. */
export function kept(situation: Situation): string[] {
  const { active, lost, previous, desired, next } = situation;
  return idsOf([active, lost?.target, previous, desired?.target, next?.target]);
}

/** Those that stay on a disk that is full: what served before goes, unless it is the way back. */
export function needed(situation: Situation): string[] {
  const { active, lost, previous, desired, next, trial } = situation;
  const wayBack = trial === null && active !== null ? null : previous;
  return idsOf([active, lost?.target, wayBack, desired?.target, next?.target]);
}

/** What the next update deletes when it needs the room, besides what this one has fetched. */
export function reclaimableBytes(situation: Situation): number {
  const { previous } = situation;
  if (previous === null || needed(situation).includes(previous.artifact.id)) return 0;
  return previous.artifact.sizeBytes;
}

function idsOf(targets: readonly (Target | null | undefined)[]): string[] {
  return [...new Set(targets.flatMap((target) => (target == null ? [] : [target.artifact.id])))];
}
