import { describe, expect, it } from 'vitest';
import { groupKey, parseCompressionKey, variantKey } from './variant.key.ts';

const key = { model: 'tiny', variant: 'rd-4.2' };

describe('keys of the compression queue', () => {
  it('are read as they were written', () => {
    expect(parseCompressionKey(variantKey(key))).toEqual({ key, group: undefined });
    for (const group of [0, 7, 123_456]) {
      expect(parseCompressionKey(groupKey(key, group))).toEqual({ key, group });
    }
  });

  it.each([
    '',
    'tiny',
    'tiny/',
    '/u8',
    'tiny/u8/',
    'tiny/u8/01',
    'tiny/u8/-1',
    'tiny/u8/1/2',
    'a b/u8',
  ])('"%s" is none', (text) => {
    expect(parseCompressionKey(text)).toBeUndefined();
  });
});
