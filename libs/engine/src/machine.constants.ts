import { type MachineRates, native } from '@entrofleet/native';

/** How fast this machine does what a token is made of; see the residency plan. */
export interface MachineConstants extends MachineRates {
  readonly threads: number;
  readonly diskBytesPerSecond: number;
}

const measured = new Map<string, Promise<MachineRates>>();

/**
 * Measures what does not depend on a model: some tens of milliseconds, once in a process for a
 * number of threads.
 */
export function machineRates(threads: number): Promise<MachineRates> {
  const key = `${native.cpu().isa} ${threads}`;
  const known = measured.get(key);
  if (known !== undefined) return known;
  const rates = native.measureMachine({ threads });
  measured.set(key, rates);
  // A measurement that failed is tried again by whoever asks next.
  rates.catch(() => measured.delete(key));
  return rates;
}
