import type { Retries } from '@entrofleet/protocol';

/**
 * Pause before the next attempt of a device: exponential, with a random share that is the same
 * whenever it is asked for, so that a plan that is made again decides the same.
 *
 * @param of.attempts that have failed, at least 1.
 * @returns milliseconds.
 */
export function backoffMs(
  retries: Retries,
  of: { device: string; rollout: string; attempts: number },
): number {
  const { backoffSeconds, backoffFactor, backoffMaxSeconds, jitter } = retries;
  const seconds = Math.min(backoffMaxSeconds, backoffSeconds * backoffFactor ** (of.attempts - 1));
  const random = randomOf(`${of.rollout}/${of.device}/${of.attempts}`);
  return Math.round(seconds * 1000 * (1 - jitter + jitter * random));
}

/** A number in [0, 1) that depends on the text alone: FNV-1a with the finalizer of MurmurHash3. */
export function randomOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
