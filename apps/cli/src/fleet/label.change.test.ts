import { describe, expect, it } from 'vitest';
import { changedLabels, readLabelChange } from './label.change.ts';

describe('label changes', () => {
  it('sets, empties and removes', () => {
    const changes = ['site=berlin', 'note=', 'a-b=1', 'old-'].map(readLabelChange);
    expect(changedLabels({ old: '1', site: 'bonn', keep: 'x' }, changes)).toEqual({
      site: 'berlin',
      keep: 'x',
      note: '',
      'a-b': '1',
    });
  });

  it.each(['site', '=x', '-', 'a=b c'])('refuses %j', (text) => {
    expect(() => readLabelChange(text)).toThrow('write key=value or key-');
  });
});
