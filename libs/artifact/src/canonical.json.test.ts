import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonRejected, parseBoundedJson } from './bounded.json.ts';
import { canonicalJson } from './canonical.json.ts';

describe('canonical JSON', () => {
  it('gives the example of RFC 8785, section 3.2.2', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 code units, numbers and prototypes among them', () => {
    const value: unknown = JSON.parse(
      '{"10":1,"9":2,"__proto__":3,"\\ud83d\\ude00":4,"\\ufb33":5}',
    );
    expect(canonicalJson(value)).toBe('{"10":1,"9":2,"__proto__":3,"😀":4,"\ufb33":5}');
  });

  it('is a fixed point of parsing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        const limits = { depth: 100, values: 10_000 };
        expect(canonicalJson(parseBoundedJson(Buffer.from(text), limits))).toBe(text);
      }),
    );
  });

  it('refuses what JSON cannot hold', () => {
    for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY, '\ud800', 1n]) {
      expect(() => canonicalJson({ value })).toThrow(TypeError);
    }
  });
});

describe('bounded JSON', () => {
  const parse = (text: string | Uint8Array, limits = { depth: 3, values: 10 }) =>
    parseBoundedJson(Buffer.from(text), limits);

  it('bounds depth and number of values before it parses', () => {
    expect(parse('[[["[[[[", "\\"["]]]')).toEqual([[['[[[[', '"[']]]);
    expect(() => parse('[[[[]]]]')).toThrow(/deeper than 3/);
    expect(() => parse('['.repeat(100_000))).toThrow(JsonRejected);
    expect(() => parse(`[${'[],'.repeat(10)}1]`)).toThrow(/more than 10 values/);
  });

  it('refuses what is no UTF-8 and no JSON', () => {
    expect(() => parse(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(JsonRejected);
    expect(() => parse('{"a":NaN}')).toThrow(JsonRejected);
    expect(() => parse('\ufeff{}')).toThrow(JsonRejected);
  });
});
