/**
 * Serialises a JSON value by the JSON Canonicalization Scheme (RFC 8785): no whitespace, keys
 * sorted by UTF-16 code units, numbers as ECMAScript prints them.
 * @throws TypeError for what JSON cannot hold: undefined, NaN, an infinity, a lone surrogate.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${canonicalString(key)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'string') return canonicalString(value);
  if (typeof value === 'boolean' || value === null) return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  throw new TypeError(`JSON cannot hold ${String(value)}`);
}

function canonicalString(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('JSON cannot hold a lone surrogate');
  return JSON.stringify(text);
}
