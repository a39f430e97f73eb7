import type { Target } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { AheadLoad } from './ahead.load.ts';
import { createLog } from './log.ts';
import type { HeldModel } from './serve/served.model.ts';

const A = targetOf(referenceOf('a'));
const B = targetOf(referenceOf('b'));

class Model implements HeldModel {
  closed = false;
  target: Target;

  constructor(target: Target) {
    this.target = target;
  }

  close(): void {
    this.closed = true;
  }
}

function prepare() {
  const lines: string[] = [];
  const ahead = new AheadLoad<Model>(createLog('info', (line) => lines.push(line)));
  return { ahead, lines, signal: new AbortController().signal };
}

/** What was begun is under way. */
const underWay = () => new Promise((resolve) => setImmediate(resolve));

it('hands a model over once, under the name it is wanted by then', async () => {
  const { ahead, signal } = prepare();
  const model = new Model(A);
  ahead.begin(A, async () => model);
  const renamed = { ...A, model: 'renamed' };
  expect(await ahead.take(renamed, signal)).toBe(model);
  expect(model.target).toBe(renamed);
  expect(await ahead.take(renamed, signal)).toBeNull();
  await ahead.drop();
  expect(model.closed).toBe(false);
});

it.each([
  ['of another artifact', B],
  ['with another context', { ...A, contextLength: A.contextLength + 1 }],
  ['with other KV caches', { ...A, kvCacheBytes: A.kvCacheBytes + 1 }],
])('gives nothing for a target %s, and lets go of the model', async (_, target) => {
  const { ahead, signal } = prepare();
  const model = new Model(A);
  ahead.begin(A, async () => model);
  await underWay();
  expect(await ahead.take(target, signal)).toBeNull();
  expect(model.closed).toBe(true);
});

it('that has failed says why and gives nothing', async () => {
  const { ahead, lines, signal } = prepare();
  ahead.begin(A, async () => {
    throw Object.assign(new Error('too large'), { reason: 'OutOfMemory' });
  });
  expect(await ahead.take(A, signal)).toBeNull();
  expect(lines.join()).toContain('is not loaded while it is fetched: OutOfMemory: too large');
});

it('begins the next one only when the memory of the one before is free', async () => {
  const { ahead, lines, signal } = prepare();
  const first = new Model(A);
  const loaded = Promise.withResolvers<Model>();
  let firstSignal: AbortSignal | undefined;
  ahead.begin(A, (itsSignal) => {
    firstSignal = itsSignal;
    return loaded.promise;
  });
  await underWay();
  ahead.begin(B, async () => {
    expect(first.closed).toBe(true);
    return new Model(B);
  });
  expect(firstSignal?.aborted).toBe(true);
  loaded.resolve(first);
  expect((await ahead.take(B, signal))?.target).toBe(B);
  expect(lines).toEqual([]);
});

it('that is waited for is dropped when the wait is cancelled', async () => {
  const { ahead } = prepare();
  const model = new Model(A);
  const loaded = Promise.withResolvers<Model>();
  ahead.begin(A, (signal) => {
    signal.addEventListener('abort', () => loaded.resolve(model));
    return loaded.promise;
  });
  await underWay();
  const controller = new AbortController();
  const taking = ahead.take(A, controller.signal);
  controller.abort(new Error('a newer desired state'));
  await expect(taking).rejects.toThrow('a newer desired state');
  expect(model.closed).toBe(true);
});
