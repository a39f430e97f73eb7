import { type MachineRates, native } from '@entrofleet/native';

/** How fast this machine does what a token is made of; see the residency plan. */
export interface MachineConstants extends MachineRates {
  readonly threads: number;
  readonly diskBytesPerSecond: number;
}

const READ_BYTES_MAX = 96 * 1024 * 1024;
const READ_BYTES_MIN = 1024 * 1024;

const measured = new Map<string, Promise<MachineRates>>();

/**
 * Measures what does not depend on a model: some tens of milliseconds, once in a process for a
 * number of threads.
 * @param use.memoryBytes that measuring may take for the while.
 */
export function machineRates(use: {
  readonly threads: number;
  readonly memoryBytes: number;
}): Promise<MachineRates> {
  const { threads, memoryBytes } = use;
  const key = `${native.cpu().isa} ${threads}`;
  const known = measured.get(key);
  if (known !== undefined) return known;
  const sizeBytes = Math.floor(Math.max(READ_BYTES_MIN, Math.min(READ_BYTES_MAX, memoryBytes)));
  const rates = native.measureMachine({ threads, sizeBytes });
  measured.set(key, rates);
  // A measurement that failed is tried again by whoever asks next.
  rates.catch(() => measured.delete(key));
  return rates;
}
