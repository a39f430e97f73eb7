import { isSameJson } from '../objects/same.json.ts';
import type { PublishedStatus } from './status.projection.ts';

/** How a status differs from the published one: `News` is worth a write at once. */
export type StatusDifference = 'None' | 'Numbers' | 'News';

/**
 * News are what somebody may wait for: phases, conditions (but for their wording) and what has been
 * observed. All else is numbers, which change all the time and can wait for each other.
 */
export function statusDifference(published: unknown, projected: PublishedStatus): StatusDifference {
  if (isSameJson(published, projected)) return 'None';
  return isSameJson(headline(published), headline(projected)) ? 'Numbers' : 'News';
}

/** How long a write is put off. */
export function statusPauseMs(
  difference: Exclude<StatusDifference, 'None'>,
  { sinceWriteMs, intervalMs }: { sinceWriteMs: number; intervalMs: number },
): number {
  return difference === 'News' ? 0 : Math.max(0, intervalMs - sinceWriteMs);
}

function headline(status: unknown): unknown {
  const { phase, observedGeneration, conditions, variants } = Object(status ?? {});
  return {
    phase,
    observedGeneration,
    conditions: list(conditions).map(
      ({ type, status: value, reason, observedGeneration: seen }) => [type, value, reason, seen],
    ),
    variants: list(variants).map((variant) => [variant.name, variant.phase]),
  };
}

function list(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map((item) => Object(item ?? {})) : [];
}
