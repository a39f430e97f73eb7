import { describe, expect, it } from 'vitest';
import { ageText, textTable } from './text.table.ts';

describe('textTable', () => {
  it('aligns columns and leaves no blanks at the end', () => {
    const rows = [
      ['NAME', 'STATE'],
      ['a', ''],
      ['longer', 'x'],
    ];
    expect(textTable(rows)).toBe('NAME     STATE\na\nlonger   x\n');
  });
});

describe('ageText', () => {
  const now = Date.parse('2026-11-21T08:00:00Z');

  it.each([
    ['2026-11-21T07:59:18Z', '42s'],
    ['2026-11-21T07:15:00Z', '45m'],
    ['2026-11-20T12:00:00Z', '20h'],
    ['2026-11-01T08:00:00Z', '20d'],
    ['2026-11-21T09:00:00Z', '0s'],
    [null, '-'],
  ])('%s is %s', (instant, text) => {
    expect(ageText(instant, now)).toBe(text);
  });
});
