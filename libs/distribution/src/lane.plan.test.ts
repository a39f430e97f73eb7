import { Bitmap } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DistributionPlan } from './distribution.plan.ts';
import { type Caps, LanePlan, type Listener, NO_CAPS } from './lane.plan.ts';

const KIB = 1024;
const CHUNK_BYTES = 64 * KIB;

const listener = (change: Partial<Listener> = {}): Listener => ({
  device: 'd1',
  site: 'plant',
  listens: 'Any',
  ...change,
});

describe('the lane of a device', () => {
  it.each([
    ['no caps', NO_CAPS, listener(), ''],
    ['a capped site', { ...NO_CAPS, siteBytesPerSecond: 1 }, listener(), 's/plant'],
    ['a site by name', { ...NO_CAPS, sites: { plant: 1 } }, listener(), 's/plant'],
    [
      'a site freed by name',
      { ...NO_CAPS, siteBytesPerSecond: 1, sites: { plant: 0 } },
      listener(),
      '',
    ],
    [
      'no site to be capped with',
      { ...NO_CAPS, siteBytesPerSecond: 1 },
      listener({ site: undefined }),
      '',
    ],
    ['a capped device', { ...NO_CAPS, deviceBytesPerSecond: 1 }, listener(), 'd/d1'],
    ['its own cap', NO_CAPS, listener({ bytesPerSecond: 5 }), 'd/d1'],
    [
      'its own freedom',
      { ...NO_CAPS, deviceBytesPerSecond: 1 },
      listener({ bytesPerSecond: 0 }),
      '',
    ],
    ['one that has left the shared lane', NO_CAPS, listener({ listens: 'Site' }), 's/plant'],
    ['one that hears itself alone', NO_CAPS, listener({ listens: 'Device' }), 'd/d1'],
    [
      'one that knows no lanes',
      { ...NO_CAPS, siteBytesPerSecond: 1 },
      listener({ listens: undefined }),
      '',
    ],
  ] as const)('%s', (_, caps, who, lane) => {
    expect(new LanePlan(caps).laneFor(who, 0)).toBe(lane);
  });
});

interface Sent {
  readonly atMs: number;
  readonly lane: string;
  readonly artifact: string;
  readonly index: number;
  /** Devices that listened to it. */
  readonly heardBy: ReadonlySet<string>;
}

interface Member extends Listener {
  readonly artifact: string;
  readonly chunks: number;
}

/** Devices that take all that comes on their lane at once, and say so now and then. */
function distribute(use: { caps: Caps; members: readonly Member[]; limitMs: number }): Sent[] {
  const plan = new DistributionPlan();
  const lanes = new LanePlan(use.caps);
  const lacking = new Map(use.members.map((m) => [m.device, new Bitmap(m.chunks).inverted()]));
  const sent: Sent[] = [];
  for (let nowMs = 0; nowMs < use.limitMs; nowMs += 10) {
    for (const member of nowMs % 100 === 0 ? use.members : []) {
      const own = lacking.get(member.device) ?? new Bitmap(0);
      const copy = Bitmap.fromBytes(own.toBytes(), own.length);
      const lane = lanes.laneFor(member, nowMs);
      const said = { headerChunks: 1, window: 8, chunkSizeBytes: CHUNK_BYTES };
      plan.want({ ...member, ...said, lane, lacking: copy }, nowMs);
    }
    for (;;) {
      if (lanes.waitMs(nowMs) > 0) break;
      const chunk = plan.next(nowMs, (lane) => lanes.laneWaitMs(lane, nowMs));
      if (chunk === undefined) break;
      lanes.charge(chunk, CHUNK_BYTES);
      const heardBy = new Set<string>();
      for (const member of use.members) {
        const isHeard = member.artifact === chunk.artifact && laneOf(lanes, member) === chunk.lane;
        const own = lacking.get(member.device);
        if (!isHeard || own === undefined || own.count === 0) continue;
        heardBy.add(member.device);
        own.delete(chunk.index);
      }
      sent.push({ atMs: nowMs, ...chunk, heardBy });
    }
  }
  return sent;
}

function laneOf(lanes: LanePlan, member: Member): string {
  return lanes.laneFor(member, 0);
}

/** The most bytes above the rate in any interval. */
function excess(sent: readonly { atMs: number; bytes: number }[], bytesPerSecond: number): number {
  let most = 0;
  for (const [first, { atMs: fromMs }] of sent.entries()) {
    let bytes = 0;
    for (const { atMs, bytes: more } of sent.slice(first)) {
      bytes += more;
      most = Math.max(most, bytes - ((atMs - fromMs) * bytesPerSecond) / 1000);
    }
  }
  return most;
}

const member = fc.record({
  site: fc.constantFrom('x', 'y', undefined),
  bytesPerSecond: fc.constantFrom(undefined, undefined, 96 * KIB),
  artifact: fc.constantFrom('a', 'b'),
});

const CHUNKS = { a: 30, b: 12 } as const;

it('keeps every cap over any interval but for one burst, and starves nobody', () => {
  const caps: Caps = {
    totalBytesPerSecond: 2048 * KIB,
    siteBytesPerSecond: 512 * KIB,
    sites: { y: 256 * KIB },
    deviceBytesPerSecond: 0,
  };
  const limits = { x: 512 * KIB, y: 256 * KIB };
  fc.assert(
    fc.property(fc.array(member, { minLength: 1, maxLength: 8 }), (shapes) => {
      const members = shapes.map((shape, i) => ({
        ...{ ...shape, device: `d${i}`, listens: 'Any' as const, chunks: CHUNKS[shape.artifact] },
      }));
      const sent = distribute({ caps, members, limitMs: 120_000 });
      const total = sent.map(({ atMs }) => ({ atMs, bytes: CHUNK_BYTES }));
      expect(excess(total, caps.totalBytesPerSecond)).toBeLessThanOrEqual(
        caps.totalBytesPerSecond + CHUNK_BYTES,
      );
      for (const [site, limit] of Object.entries(limits)) {
        const there = members.filter((m) => m.site === site);
        const taken = sent.flatMap(({ atMs, heardBy }) => {
          const takers = there.filter(({ device }) => heardBy.has(device));
          return takers.length === 0 ? [] : [{ atMs, bytes: takers.length * CHUNK_BYTES }];
        });
        const burst = limit + there.length * CHUNK_BYTES;
        expect(excess(taken, limit)).toBeLessThanOrEqual(burst);
      }
      for (const m of members) {
        const own = sent.filter(({ heardBy }) => heardBy.has(m.device));
        expect(new Set(own.map(({ index }) => index)).size).toBe(m.chunks);
        if (m.bytesPerSecond === undefined) continue;
        const taken = own.map(({ atMs }) => ({ atMs, bytes: CHUNK_BYTES }));
        expect(excess(taken, m.bytesPerSecond)).toBeLessThanOrEqual(m.bytesPerSecond + CHUNK_BYTES);
      }
    }),
    { numRuns: 60 },
  );
});

it('a capped device costs the others no time', () => {
  const caps = { ...NO_CAPS, totalBytesPerSecond: 0 };
  const free = { device: 'free', listens: 'Any', artifact: 'a', chunks: 200 } as const;
  const slow = { ...free, device: 'slow', bytesPerSecond: CHUNK_BYTES } as const;
  const alone = distribute({ caps, members: [free], limitMs: 30_000 });
  const together = distribute({ caps, members: [slow, free], limitMs: 30_000 });
  const shared = (sent: readonly Sent[]) =>
    sent.filter(({ lane }) => lane === '').map(({ atMs, index }) => `${atMs} ${index}`);
  expect(shared(together)).toEqual(shared(alone));
  expect(together.filter(({ lane }) => lane === 'd/slow').length).toBeGreaterThan(20);
});

it('shares what the controller may send between artifacts, then between their lanes', () => {
  const caps = { ...NO_CAPS, totalBytesPerSecond: 1024 * KIB, siteBytesPerSecond: 1 << 30 };
  const chunks = 400;
  const members = ['x', 'y', 'z'].map((site) => ({
    ...{ device: site, site, listens: 'Any' as const, artifact: 'many', chunks },
  }));
  const single = { device: 'one', listens: 'Any' as const, artifact: 'one', chunks };
  const sent = distribute({ caps, members: [...members, single], limitMs: 20_000 });
  const count = (holds: (s: Sent) => boolean) => sent.filter(holds).length;
  expect(Math.abs(count((s) => s.artifact === 'one') - sent.length / 2)).toBeLessThan(8);
  for (const lane of ['s/x', 's/y', 's/z']) {
    expect(Math.abs(count((s) => s.lane === lane) - sent.length / 6)).toBeLessThan(8);
  }
});
