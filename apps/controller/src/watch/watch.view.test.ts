import { describe, expect, it } from 'vitest';
import type { Change } from './change.ts';
import { WatchView } from './watch.view.ts';

const change = (key: string, of: Partial<Change> & { site?: string } = {}): Change => {
  const { site = 'lab', ...rest } = of;
  return { key, version: 20, createdVersion: 1, isDeleted: false, object: { site }, ...rest };
};
const inLab = (object: unknown): boolean => Object(object).site === 'lab';

describe('WatchView', () => {
  it('of everything: what was there is modified, what is new is added once', () => {
    const view = new WatchView({ since: 10 });
    expect(view.tell(change('old'))).toBe('MODIFIED');
    expect(view.tell(change('new', { createdVersion: 11 }))).toBe('ADDED');
    expect(view.tell(change('new', { createdVersion: 11, version: 21 }))).toBe('MODIFIED');
    expect(view.tell(change('new', { createdVersion: 11, isDeleted: true }))).toBe('DELETED');
    expect(view.tell(change('new', { createdVersion: 25 }))).toBe('ADDED');
    expect(view.tell(change('old', { isDeleted: true }))).toBe('DELETED');
    expect(view.tell(change('brief', { createdVersion: 12, isDeleted: true }))).toBeUndefined();
  });

  it('of a selection: objects come and go as they match', () => {
    const view = new WatchView({ since: 10, matches: inLab, known: ['a'] });
    expect(view.tell(change('b', { site: 'roof' }))).toBeUndefined();
    expect(view.tell(change('a', { site: 'roof' }))).toBe('DELETED');
    expect(view.tell(change('a', { site: 'roof' }))).toBeUndefined();
    expect(view.tell(change('a'))).toBe('ADDED');
    expect(view.tell(change('b'))).toBe('ADDED');
    expect(view.tell(change('b'))).toBe('MODIFIED');
    expect(view.tell(change('b', { isDeleted: true, site: 'roof' }))).toBe('DELETED');
  });

  it('of a selection: tells of what went while the client was away', () => {
    const view = new WatchView({ since: 10, matches: inLab, known: [] });
    expect(view.tell(change('gone', { isDeleted: true }))).toBe('DELETED');
    expect(view.tell(change('other', { isDeleted: true, site: 'roof' }))).toBeUndefined();
    expect(view.tell(change('brief', { isDeleted: true, createdVersion: 11 }))).toBeUndefined();
  });

  it('does not add again what it was introduced to', () => {
    const view = new WatchView({ since: 10 });
    view.introduce(change('late', { createdVersion: 12 }));
    view.introduce(change('early'));
    expect(view.tell(change('late', { createdVersion: 12 }))).toBe('MODIFIED');
    expect(view.tell(change('early'))).toBe('MODIFIED');
  });
});
