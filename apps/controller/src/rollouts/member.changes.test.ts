import { type Member, memberSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { memberChanges, type PlacedMember } from './member.changes.ts';

function member(device: string, message = ''): Member {
  const words = { state: 'Active', reason: 'Active', message, progressAt: null };
  return memberSchema.parse({ device, wave: 0, ...words });
}

/** The rows after the changes, in the order of positions. */
async function applied(
  before: readonly PlacedMember[],
  after: readonly Member[],
): Promise<PlacedMember[]> {
  const { written, removed } = await memberChanges(before, after);
  const rows = new Map(before.map((row) => [row.member.device, row]));
  for (const device of removed) rows.delete(device);
  for (const row of written) rows.set(row.member.device, row);
  return [...rows.values()].sort((a, b) => a.position - b.position);
}

const devices = fc.uniqueArray(fc.constantFrom(...'abcdefghij'), { maxLength: 10 });
const members = devices.chain((names) =>
  fc.tuple(...names.map((name) => fc.constantFrom(member(name), member(name, 'news')))),
);

it('leads to the members that are wanted, in their order, each at a place of its own', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(members, { minLength: 1, maxLength: 5 }), async (steps) => {
      let rows: PlacedMember[] = [];
      for (const step of steps) {
        rows = await applied(rows, step);
        expect(rows.map((row) => row.member)).toEqual(step);
        expect(new Set(rows.map((row) => row.position)).size).toBe(rows.length);
      }
    }),
  );
});

it('writes one row for the news of one device, also after others have left', async () => {
  const all = await applied([], [member('a'), member('b'), member('c')]);
  const fewer = await applied(all, [member('b'), member('c')]);
  const changes = await memberChanges(fewer, [member('b'), member('c', 'news')]);
  expect(changes).toEqual({
    written: [{ position: 2, member: member('c', 'news') }],
    removed: [],
  });
});

it('writes nothing when nothing changes', async () => {
  const all = await applied([], [member('a'), member('b')]);
  const changes = await memberChanges(all, [member('a'), member('b')]);
  expect(changes).toEqual({ written: [], removed: [] });
});

it('gives a late joiner a place behind all others', async () => {
  const all = await applied([], [member('b'), member('c')]);
  const { written } = await memberChanges(all, [member('b'), member('c'), member('a')]);
  expect(written).toEqual([{ position: 2, member: member('a') }]);
});
