import { describe, expect, it } from 'vitest';
import { RequestError } from '../errors.ts';
import type { ChangeFeed } from '../watch/change.feed.ts';
import type { Change, ChangeSource } from '../watch/change.ts';
import { followChanges } from './change.follower.ts';

const expired = () => new RequestError({ status: 410, reason: 'Expired', message: 'forgotten' });
const source: ChangeSource = { kind: 'events', changes: async () => [] };

function change(version: number): Change {
  const key = String(version);
  return { key, version, createdVersion: version, isDeleted: false, object: {} };
}

/** A feed of versions 1 to `last`, of which those up to `floor` are forgotten. */
function feedOf({ last, floor }: { last: number; floor: number }): ChangeFeed {
  return Object.assign(Object.create(null), {
    current: async () => last,
    assertKept: async (_kind: string, after: number) => {
      if (after > last || after < floor) throw expired();
    },
    next: async (_source: ChangeSource, { after }: { after: number }) => {
      if (after < floor) throw expired();
      if (after >= last) return { changes: [], upTo: after };
      return { changes: [change(after + 1)], upTo: after + 1 };
    },
  });
}

async function followed(
  feed: ChangeFeed,
  options: { start: number | undefined; failures?: number; until: number },
): Promise<{ seen: number[]; expirations: number }> {
  const abort = new AbortController();
  const seen: number[] = [];
  let expirations = 0;
  let failures = options.failures ?? 0;
  let looks = 0;
  await followChanges(feed, source, {
    start: async () => {
      if (looks++ > 100) abort.abort();
      return options.start;
    },
    signal: abort.signal,
    onPage: async ({ changes }) => {
      if (failures-- > 0) throw new Error('not now');
      seen.push(...changes.map(({ version }) => version));
      if (seen.at(-1) === options.until) abort.abort();
    },
    onExpired: () => {
      expirations++;
      abort.abort();
    },
    onError: () => undefined,
  });
  return { seen, expirations };
}

describe('followChanges', () => {
  it('reads every change after the start, in order, and again what failed', async () => {
    const feed = feedOf({ last: 6, floor: 0 });
    const { seen } = await followed(feed, { start: 2, failures: 1, until: 6 });
    expect(seen).toEqual([3, 4, 5, 6]);
  });

  it.each([
    ['forgotten', 1],
    ['never drawn', 99],
  ])('says that it cannot go on from a version that was %s', async (_, start) => {
    const feed = feedOf({ last: 6, floor: 3 });
    expect(await followed(feed, { start, until: 6 })).toEqual({ seen: [], expirations: 1 });
  });
});
