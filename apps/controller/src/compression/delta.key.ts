import type { DeltaPair } from '../artifacts/delta.record.ts';

/** The queue of pairs of artifacts that need a delta. */
export const DELTA_QUEUE = 'deltas';

const KEY = /^([0-9a-f]{64})\/([0-9a-f]{64})$/;

export function deltaKey({ base, target }: DeltaPair): string {
  return `${base}/${target}`;
}

/** @returns `undefined` for a text that is no key of ours. */
export function parseDeltaKey(text: string): DeltaPair | undefined {
  const [, base, target] = KEY.exec(text) ?? [];
  return base === undefined || target === undefined ? undefined : { base, target };
}
