import { expect, it } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { parseDesired } from './desired.inbox.ts';

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const desired = desiredOf(targetOf(referenceOf('a')));

it('reads a desired state for this device', () => {
  expect(parseDesired(bytes(desired), 'edge-1')).toEqual(desired);
});

it('takes an empty message for nothing', () => {
  expect(parseDesired(Buffer.alloc(0), 'edge-1')).toBeNull();
});

it.each([
  ['no JSON', Buffer.from('{')],
  ['another shape', bytes({ ...desired, revision: 'one' })],
  ['an unknown field', bytes({ ...desired, extra: 1 })],
  ['another device', bytes({ ...desired, device: 'edge-2' })],
  ['a path as artifact id', bytes(desiredOf(targetOf({ ...referenceOf('a'), id: '../../etc' })))],
  ['too many bytes', Buffer.alloc(1024 * 1024 + 1, 0x20)],
])('refuses %s', (_, payload) => {
  expect(() => parseDesired(payload, 'edge-1')).toThrow(
    expect.objectContaining({ reason: 'BadDesired' }),
  );
});
