import { expect, it } from 'vitest';
import type { KubeObject } from './kube.object.ts';
import { OwnWrites } from './own.writes.ts';

function object(resourceVersion: string, uid = 'u1'): KubeObject {
  const lists = { finalizers: [], labels: {}, annotations: {} };
  const metadata = { name: 'a', namespace: 'default', uid, resourceVersion, generation: 1 };
  return { metadata: { ...metadata, ...lists }, spec: {}, status: {} };
}

it('knows what it wrote until the watch does', () => {
  const own = new OwnWrites();
  const [first, second, third, fourth] = ['x', 'y', 'z', 'w'].map((v) => object(v));
  if (!first || !second || !third || !fourth) throw new Error('four were made');
  expect(own.latest('a', first)).toBe(first);
  own.note(first, second);
  own.note(second, third);
  expect(own.latest('a', first)).toBe(third);
  expect(own.latest('a', second)).toBe(third);
  expect(own.latest('a', third)).toBe(third);
  expect(own.latest('a', fourth)).toBe(fourth);
  expect(own.latest('a', first)).toBe(first);
});

it('takes another object of the same name, or none, for what it is', () => {
  const own = new OwnWrites();
  own.note(object('x'), object('y'));
  expect(own.latest('a', object('x', 'u2'))?.metadata.uid).toBe('u2');
  own.note(object('x'), object('y'));
  expect(own.latest('a', undefined)).toBeUndefined();
});
