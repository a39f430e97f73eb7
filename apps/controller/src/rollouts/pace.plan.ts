import type { Pace } from '@entrofleet/protocol';

export interface Allowance {
  /** Devices that may be started now. */
  readonly starts: number;
  /** When more may be; `null`: the pace holds nothing back. */
  readonly nextAt: string | null;
  readonly devicesPerMinute: number;
}

const MINUTE_MS = 60_000;
/** Devices of one second are started together: a plan a device would be too many plans. */
const STEP_MS = 1000;
const RATE_MAX = 1e6;

/** With growth the rate is multiplied each time that so many more devices have become active. */
export function rateOf(pace: Pace, active: number): number {
  const { devicesPerMinute, growth } = pace;
  if (growth === null) return devicesPerMinute;
  const steps = Math.floor(active / growth.afterActive);
  return Math.min(RATE_MAX, devicesPerMinute * growth.factor ** steps);
}

/**
 * How many devices may be started now, from when others were: never more than the rate in any
 * minute, spread over it in steps of a second.
 *
 * @param of.startedAt of all devices that were started, in any order.
 */
export function paceAllowance(of: {
  pace: Pace | null;
  active: number;
  startedAt: readonly string[];
  now: string;
}): Allowance {
  if (of.pace === null) {
    return { starts: Number.POSITIVE_INFINITY, nextAt: null, devicesPerMinute: RATE_MAX };
  }
  const devicesPerMinute = rateOf(of.pace, of.active);
  const nowMs = Date.parse(of.now);
  const intervalMs = MINUTE_MS / devicesPerMinute;
  const recent = of.startedAt
    .map((at) => Date.parse(at))
    .filter((at) => nowMs - at < Math.max(MINUTE_MS, intervalMs));
  const last = recent.reduce((latest, at) => Math.max(latest, at), Number.NEGATIVE_INFINITY);
  const aMinute = Math.max(1, Math.floor(devicesPerMinute));
  const aStep = Math.ceil((devicesPerMinute * STEP_MS) / MINUTE_MS);
  const roomMinute = Math.max(0, aMinute - recent.length);
  const waitMs = Math.max(STEP_MS, intervalMs);
  const isTime = nowMs - last >= waitMs;
  const starts = isTime ? Math.min(aStep, roomMinute) : 0;
  const sinceMs = starts > 0 || !Number.isFinite(last) ? nowMs : last;
  const isFull = roomMinute - starts <= 0 && recent.length > 0;
  const oldest = recent.reduce((first, at) => Math.min(first, at), nowMs);
  const freeMs = isFull ? oldest + MINUTE_MS : 0;
  const nextMs = Math.max(sinceMs + waitMs, freeMs);
  return { starts, nextAt: new Date(Math.ceil(nextMs)).toISOString(), devicesPerMinute };
}
