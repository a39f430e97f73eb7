import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { deflateSync } from 'fflate';
import { badDelta } from './delta.header.ts';

const inflate = promisify(inflateRaw);
const LEVEL = 9;

/** Raw deflate (RFC 1951) that gives the same bytes on every machine, as for an artifact's files. */
export function deflateDelta(bytes: Uint8Array): Uint8Array {
  return deflateSync(bytes, { level: LEVEL });
}

/** @throws ArtifactError `BadDelta` unless it inflates to at most `most` bytes. */
export async function inflateDelta(bytes: Uint8Array, most: number): Promise<Uint8Array> {
  return inflate(bytes, { maxOutputLength: Math.max(1, most) }).catch((cause: unknown) => {
    throw badDelta(`a part of it does not inflate (${String(cause).slice(0, 100)})`);
  });
}

/**
 * Row steps as what changes from those of the base; without steps there, from row to row. Steps are
 * bf16 patterns, little endian. Low bytes of all differences come first, since high ones are mostly
 * 0.
 */
export function encodeSteps(target: Uint8Array, base: Uint8Array): Uint8Array {
  const rows = target.length / 2;
  const planes = new Uint8Array(target.length);
  for (let row = 0; row < rows; row++) {
    const difference = wordAt(target, row) - predicted(target, base, row);
    planes[row] = difference;
    planes[rows + row] = difference >> 8;
  }
  return deflateDelta(planes);
}

/**
 * @param coded of {@link encodeSteps}, or anything.
 * @throws ArtifactError `BadDelta`.
 */
export async function decodeSteps(
  coded: Uint8Array,
  of: { readonly base: Uint8Array; readonly rows: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const { base, rows } = of;
  const planes = await inflateDelta(coded, 2 * rows);
  if (planes.length !== 2 * rows) throw badDelta('it has not as many steps as rows');
  const target = new Uint8Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    const difference = (planes[row] ?? 0) | ((planes[rows + row] ?? 0) << 8);
    const word = predicted(target, base, row) + difference;
    target[2 * row] = word;
    target[2 * row + 1] = word >> 8;
  }
  return target;
}

function predicted(target: Uint8Array, base: Uint8Array, row: number): number {
  if (base.length > 0) return wordAt(base, row);
  return row === 0 ? 0 : wordAt(target, row - 1);
}

function wordAt(words: Uint8Array, row: number): number {
  return (words[2 * row] ?? 0) | ((words[2 * row + 1] ?? 0) << 8);
}
