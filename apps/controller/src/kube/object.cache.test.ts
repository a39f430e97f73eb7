import { describe, expect, it } from 'vitest';
import { kubeObjectSchema } from './kube.object.ts';
import { ObjectCache } from './object.cache.ts';

function object(name: string, version: number, uid = `uid-${name}`) {
  const metadata = { name, namespace: 'default', uid, resourceVersion: String(version) };
  return kubeObjectSchema.parse({ metadata });
}

const brief = (changes: ReturnType<ObjectCache['hear']>) =>
  changes.map(({ type, object: { metadata } }) => `${type} ${metadata.name} ${metadata.uid}`);

describe('ObjectCache', () => {
  it('tells what is new, once', () => {
    const cache = new ObjectCache();
    expect(brief(cache.hear(object('a', 1)))).toEqual(['Added a uid-a']);
    expect(brief(cache.hear(object('a', 1)))).toEqual([]);
    expect(brief(cache.hear(object('a', 2)))).toEqual(['Modified a uid-a']);
    expect(brief(cache.hearDeleted(object('a', 3)))).toEqual(['Deleted a uid-a']);
    expect(brief(cache.hearDeleted(object('a', 3)))).toEqual([]);
    expect(cache.objects).toEqual([]);
  });

  it('tells an object from its namesake', () => {
    const cache = new ObjectCache();
    cache.hear(object('a', 1, 'old'));
    expect(brief(cache.hear(object('a', 5, 'new')))).toEqual(['Deleted a old', 'Added a new']);
    expect(brief(cache.hearDeleted(object('a', 4, 'old')))).toEqual([]);
    expect(cache.find('a')?.metadata.uid).toBe('new');
  });

  it('finds by a list what happened while nobody watched', () => {
    const cache = new ObjectCache();
    for (const name of ['kept', 'changed', 'gone', 'remade']) cache.hear(object(name, 1));
    const list = [
      object('kept', 1),
      object('changed', 2),
      object('remade', 1, 'other'),
      object('new', 3),
    ];
    expect(brief(cache.replaceAll(list))).toEqual([
      'Deleted gone uid-gone',
      'Modified changed uid-changed',
      'Deleted remade uid-remade',
      'Added remade other',
      'Added new uid-new',
    ]);
    expect(cache.objects).toEqual(list);
  });
});
