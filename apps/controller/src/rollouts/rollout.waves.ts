import { type Labels, selectorMatches, type WaveSpec } from '@entrofleet/protocol';

/**
 * Devices that one wave takes of `selected` ones; a percentage is rounded up. Past the last wave
 * of the spec there is one more, for all that are left over.
 */
export function waveCapacity(waves: readonly WaveSpec[], wave: number, selected: number): number {
  const spec = waves[wave];
  if (spec === undefined) return Number.POSITIVE_INFINITY;
  return spec.count ?? Math.ceil(((spec.percent ?? 100) * selected) / 100);
}

/** A device that waits for a wave. */
interface Waiting {
  readonly device: string;
  readonly labels: Labels;
}

/** Cuts the devices, in their order, into the waves they go in when all of them are online. */
export function splitWaves(devices: readonly Waiting[], waves: readonly WaveSpec[]): string[][] {
  const split: string[][] = [];
  let queue = devices;
  while (queue.length > 0) {
    const capacity = waveCapacity(waves, split.length, devices.length);
    const { taken, rest } = takeMatching(queue, waves[split.length], capacity);
    split.push(taken.map(({ device }) => device));
    queue = rest;
  }
  return split;
}

/** The first `capacity` of a queue that the wave's selector matches, and all others. */
function takeMatching<T extends Waiting>(
  queue: readonly T[],
  spec: WaveSpec | undefined,
  capacity: number,
): { taken: T[]; rest: T[] } {
  const selector = spec?.selector;
  if (selector === undefined) {
    return { taken: queue.slice(0, capacity), rest: queue.slice(capacity) };
  }
  const taken: T[] = [];
  const rest: T[] = [];
  for (const each of queue) {
    const fits = taken.length < capacity && selectorMatches(selector, each.labels);
    (fits ? taken : rest).push(each);
  }
  return { taken, rest };
}

/** Where one device stands with respect to the waves. */
export interface WaveEntry {
  readonly device: string;
  readonly labels: Labels;
  /** The wave it was started in, `null` before that. */
  readonly wave: number | null;
  /** It is started and takes up room in its wave; an offline device leaves its room to another. */
  readonly holdsRoom: boolean;
  /** It is started, online, and neither active nor failed for good. */
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

export interface WavesOpened {
  /** The wave that is open then. */
  readonly currentWave: number;
  /** The devices to start now. */
  readonly starts: readonly WaveStart[];
  /** What candidates that are left wait for: what is busy, the budget, leave for the next wave. */
  readonly waitsFor: 'Nothing' | 'Wave' | 'Budget' | 'Leave';
}

/**
 * Fills the open wave and opens the next ones as long as nothing is busy in those before.
 *
 * @param rollout.entries in the order in which devices go; late joiners come last.
 * @param rollout.budget how many devices may be asked now.
 * @param rollout.mayOpen whether a further wave may open that has something to do.
 */
export function openWaves(rollout: {
  entries: readonly WaveEntry[];
  waves: readonly WaveSpec[];
  currentWave: number;
  selected: number;
  budget?: number;
  mayOpen?: (wave: number) => boolean;
}): WavesOpened {
  const { entries, waves, selected } = rollout;
  const candidates = entries.filter((entry) => entry.isCandidate);
  let queue: readonly WaveEntry[] = [
    ...candidates.filter((entry) => entry.isUnderway),
    ...candidates.filter((entry) => !entry.isUnderway),
  ];
  let budget = rollout.budget ?? Number.POSITIVE_INFINITY;
  let isBusy = entries.some((entry) => entry.isBusy);
  const starts: WaveStart[] = [];
  for (let wave = rollout.currentWave; ; wave++) {
    if (wave > rollout.currentWave && queue.some(costs) && rollout.mayOpen?.(wave) === false) {
      return { currentWave: wave - 1, starts, waitsFor: 'Leave' };
    }
    const held = entries.filter((entry) => entry.wave === wave && entry.holdsRoom).length;
    const free = Math.max(0, waveCapacity(waves, wave, selected) - held);
    const { taken, rest } = takeMatching(queue, waves[wave], free);
    const { started, left } = withinBudget(taken, budget);
    budget -= started.filter(costs).length;
    starts.push(...started.map(({ device }) => ({ device, wave })));
    isBusy ||= started.some((entry) => !entry.isActive);
    if (left.length > 0) return { currentWave: wave, starts, waitsFor: 'Budget' };
    if (rest.length === 0) return { currentWave: wave, starts, waitsFor: 'Nothing' };
    if (isBusy) return { currentWave: wave, starts, waitsFor: 'Wave' };
    queue = rest;
  }
}

/** Starting it means that a device is asked for something. */
function costs(entry: WaveEntry): boolean {
  return !entry.isActive && !entry.isUnderway;
}

function withinBudget(taken: readonly WaveEntry[], budget: number) {
  let room = budget;
  const started: WaveEntry[] = [];
  const left: WaveEntry[] = [];
  for (const entry of taken) {
    const isFree = !costs(entry);
    if (!isFree && room < 1) {
      left.push(entry);
      continue;
    }
    if (!isFree) room--;
    started.push(entry);
  }
  return { started, left };
}
