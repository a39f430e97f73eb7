import type { WaveSpec } from '@entrofleet/protocol';

/**
 * Devices that one wave takes of `selected` ones; a percentage is rounded up. Past the last wave
 * of the spec there is one more, for all that are left over.
 */
export function waveCapacity(waves: readonly WaveSpec[], wave: number, selected: number): number {
  const spec = waves[wave];
  if (spec === undefined) return Number.POSITIVE_INFINITY;
  return spec.count ?? Math.ceil(((spec.percent ?? 100) * selected) / 100);
}

/** Cuts the devices, in their order, into the waves they go in when all of them are online. */
export function splitWaves(devices: readonly string[], waves: readonly WaveSpec[]): string[][] {
  const split: string[][] = [];
  let taken = 0;
  while (taken < devices.length) {
    const capacity = waveCapacity(waves, split.length, devices.length);
    split.push(devices.slice(taken, taken + capacity));
    taken += capacity;
  }
  return split;
}

/** Where one device stands with respect to the waves. */
export interface WaveEntry {
  readonly device: string;
  /** The wave it was started in, `null` before that. */
  readonly wave: number | null;
  /** It is started and takes up room in its wave; an offline device leaves its room to another. */
  readonly holdsRoom: boolean;
  /** It is started, online, and neither active nor failed. */
  readonly isBusy: boolean;
  /** It is not started and may be: online, fit, ours. */
  readonly isCandidate: boolean;
  /** A candidate that works on the target already; a crash came between asking and saving. */
  readonly isUnderway: boolean;
  /** A candidate that runs the target already: its wave has nothing to wait for. */
  readonly isActive: boolean;
}

export interface WaveStart {
  readonly device: string;
  readonly wave: number;
}

/**
 * Fills the open wave and opens the next ones as long as nothing is busy in those before.
 *
 * @param rollout.entries in the order in which devices go; late joiners come last.
 * @returns the devices to start now, and the wave that is open then.
 */
export function openWaves(rollout: {
  entries: readonly WaveEntry[];
  waves: readonly WaveSpec[];
  currentWave: number;
  selected: number;
}): { currentWave: number; starts: WaveStart[] } {
  const { entries, waves, selected } = rollout;
  const candidates = entries.filter((entry) => entry.isCandidate);
  const queue = [
    ...candidates.filter((entry) => entry.isUnderway),
    ...candidates.filter((entry) => !entry.isUnderway),
  ];
  const starts: WaveStart[] = [];
  let isBusy = entries.some((entry) => entry.isBusy);
  for (let wave = rollout.currentWave; ; wave++) {
    const held = entries.filter((entry) => entry.wave === wave && entry.holdsRoom).length;
    const free = Math.max(0, waveCapacity(waves, wave, selected) - held);
    const taken = queue.splice(0, free);
    starts.push(...taken.map(({ device }) => ({ device, wave })));
    isBusy ||= taken.some((entry) => !entry.isActive);
    if (isBusy || queue.length === 0) return { currentWave: wave, starts };
  }
}
