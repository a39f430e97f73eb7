import { isDeepStrictEqual } from 'node:util';

/** Equal as stored: a field that is `undefined` is not there, whatever the order of keys. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}
