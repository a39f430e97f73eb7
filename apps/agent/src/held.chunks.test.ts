import { Bitmap } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { HeldChunks } from './held.chunks.ts';

function prepare(...held: number[]) {
  const bitmap = new Bitmap(10);
  for (const index of held) bitmap.add(index);
  const chunks = new HeldChunks(bitmap);
  const arrive = (index: number) => {
    bitmap.add(index);
    chunks.grown();
  };
  return { chunks, arrive, signal: new AbortController().signal };
}

/** True when the promise has settled by the time all others have. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const settled = Symbol();
  const done = promise.then(
    () => settled,
    () => settled,
  );
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([done, undefined])) === settled;
}

it('lets wait until one of the ranges is there as a whole', async () => {
  const { chunks, arrive, signal } = prepare(0, 5);
  const waiting = chunks.anyOf(
    [
      { first: 0, end: 3 },
      { first: 5, end: 7 },
    ],
    signal,
  );
  arrive(1);
  expect(await isSettled(waiting)).toBe(false);
  arrive(6);
  await waiting;
  expect(chunks.has({ first: 0, end: 3 })).toBe(false);
  expect(chunks.has({ first: 5, end: 7 })).toBe(true);
});

it('does not wait for what is there, even when nothing more comes', async () => {
  const { chunks, signal } = prepare(0, 1);
  chunks.end(new Error('over'));
  await chunks.anyOf([{ first: 0, end: 2 }], signal);
  await expect(chunks.anyOf([{ first: 0, end: 3 }], signal)).rejects.toThrow('over');
});

it('lets nobody wait in vain: the end of the download and the signal end it', async () => {
  const { chunks, signal } = prepare();
  const controller = new AbortController();
  const cancelled = chunks.anyOf([{ first: 0, end: 1 }], controller.signal);
  const ended = chunks.anyOf([{ first: 0, end: 1 }], signal);
  controller.abort(new Error('not wanted'));
  await expect(cancelled).rejects.toThrow('not wanted');
  expect(await isSettled(ended)).toBe(false);
  chunks.end(new Error('over'));
  await expect(ended).rejects.toThrow('over');
});
