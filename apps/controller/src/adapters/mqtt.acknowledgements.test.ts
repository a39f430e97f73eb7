import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Acknowledgements } from './mqtt.acknowledgements.ts';

it('acknowledges what is done, in order, to the connection it came from', async () => {
  let stream = new PassThrough();
  const acknowledgements = new Acknowledgements(() => stream);
  const work = [1, 2, 3, 0x1234].map((id) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    acknowledgements.defer(id, promise);
    return resolve;
  });
  const sent = async () => {
    await turn();
    await turn();
    const bytes: unknown = stream.read();
    return Buffer.isBuffer(bytes) ? bytes.toString('hex') : '';
  };
  work[1]?.();
  expect(await sent()).toBe('');
  work[0]?.();
  expect(await sent()).toBe('4002000140020002');
  work[3]?.();
  work[2]?.();
  expect(await sent()).toBe('4002000340021234');
  const late = Promise.withResolvers<void>();
  acknowledgements.defer(5, late.promise);
  stream = new PassThrough();
  late.resolve();
  expect(await sent()).toBe('');
});
