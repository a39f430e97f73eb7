import type { Rollout } from '@entrofleet/client';

/** Where a rollout stands, as `rollout status` reports it. */
export type Outcome =
  | { readonly kind: 'Complete' }
  | { readonly kind: 'Stopped'; readonly reason: string; readonly hint: string }
  | { readonly kind: 'Going' };

/** Phases in which nothing more happens unless a person does something. */
const HINTS: Readonly<Record<string, (name: string) => string>> = {
  Paused: (name) =>
    `see "entrofleet describe rollout ${name}", then "entrofleet rollout resume|retry|undo ${name}"`,
  Refused: (name) => `see "entrofleet describe rollout ${name}"`,
  Aborted: (name) => `start it again with "entrofleet rollout retry ${name}", or undo it`,
  RolledBack: (name) => `see "entrofleet rollout history ${name}"`,
  AwaitingApproval: (name) => `approve it with "entrofleet rollout approve ${name}"`,
};

export function outcomeOf({ metadata, status }: Rollout): Outcome {
  if (status.observedGeneration < metadata.generation) return { kind: 'Going' };
  if (status.phase === 'Complete') return { kind: 'Complete' };
  const why = status.conditions.find(({ type }) => type === 'Progressing');
  const isAwaited = why?.reason === 'AwaitingApproval';
  const hint = HINTS[isAwaited ? 'AwaitingApproval' : status.phase]?.(metadata.name);
  if (hint === undefined) return { kind: 'Going' };
  const told = why === undefined ? '' : `, ${why.reason}: ${why.message}`;
  return { kind: 'Stopped', reason: `${status.phase}${told}`, hint };
}

/** Why a rollout does not go on by itself now, where it says so. */
export function waitText({ metadata, status }: Rollout): string | undefined {
  if (status.observedGeneration < metadata.generation || status.phase === 'Complete') return;
  const why = status.conditions.find(({ type }) => type === 'Progressing');
  return why?.status === 'False' ? `${why.reason}: ${why.message}` : undefined;
}

/** One line, e.g. `Progressing, wave 1 of 3: 2 of 6 active, 1 updating`. */
export function progressText({ metadata, status }: Rollout): string {
  if (status.observedGeneration < metadata.generation) {
    return `generation ${metadata.generation} is being planned`;
  }
  const { active, selected, ...others } = status.counts;
  const counts = Object.entries(others)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state === 'rolledBack' ? 'rolled back' : state}`);
  const wave = status.totalWaves === 0 ? '' : `, wave ${waveText(status)}`;
  return `${status.phase}${wave}: ${[`${active} of ${selected} active`, ...counts].join(', ')}`;
}

/** People count waves from one, e.g. `2 of 3`. */
export function waveText(status: Pick<Rollout['status'], 'currentWave' | 'totalWaves'>): string {
  const { currentWave, totalWaves } = status;
  return `${Math.min(currentWave + 1, totalWaves)} of ${totalWaves}`;
}
