import { describe, expect, it } from 'vitest';
import { selectorTextSchema } from './selector.text.ts';
import { selectorMatches, selectorText } from './selector.ts';

describe('selectorTextSchema', () => {
  it.each([
    ['', { a: '1' }, true],
    ['site=berlin', { site: 'berlin' }, true],
    ['site==berlin', { site: 'bonn' }, false],
    ['site!=berlin', {}, true],
    ['site!=berlin', { site: 'berlin' }, false],
    ['site=', { site: '' }, true],
    ['gpu in (orin, nano), site=berlin', { gpu: 'nano', site: 'berlin' }, true],
    ['gpu notin (orin,nano)', { gpu: 'nano' }, false],
    ['gpu', { gpu: 'any' }, true],
    ['!gpu', { gpu: 'any' }, false],
    ['a=1,a=2', { a: '1' }, false],
  ])('reads %j', (text, labels, matches) => {
    const selector = selectorTextSchema.parse(text);
    expect(selectorMatches(selector, labels)).toBe(matches);
  });

  it('reads what selectorText writes', () => {
    const text = 'a=1,b in (x,y),c notin (z),d,!e';
    expect(selectorText(selectorTextSchema.parse(text))).toBe(text);
  });

  it.each(['a=1,', '=1', 'a in x', 'a b', 'a=b=c', 'a in ()(', '!!a', 'a!', '-bad=1'])(
    'refuses %j',
    (text) => {
      expect(selectorTextSchema.safeParse(text).success).toBe(false);
    },
  );
});
