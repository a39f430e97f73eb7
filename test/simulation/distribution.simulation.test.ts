import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DistributionPlan } from '../../libs/distribution/src/index.ts';
import { Bitmap } from '../../libs/protocol/src/index.ts';
import { type NetworkFaults, SimulatedNetwork, seededRandom } from './distribution.network.ts';

const CALM: NetworkFaults = { loss: 0, duplicate: 0, jitterMs: 0, restartAfter: 0 };
const DAY_MS = 24 * 3600 * 1000;

function network(
  options: {
    faults?: NetworkFaults;
    seed?: number;
    headerChunks?: number;
    distributors?: number;
  } = {},
) {
  const { faults = CALM, seed = 1, headerChunks = 1, distributors = 1 } = options;
  return new SimulatedNetwork({ faults, random: seededRandom(seed), headerChunks, distributors });
}

function lackingAll(chunks: number): Bitmap {
  return new Bitmap(chunks).inverted();
}

describe('over a network without loss', () => {
  it('sends about one copy for all devices that start together', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 12 }),
        fc.integer({ min: 20, max: 200 }),
        fc.integer({ min: 4, max: 64 }),
        fc.integer(),
        (devices, chunks, window, seed) => {
          const random = seededRandom(seed);
          const net = network();
          for (let i = 0; i < devices; i++) {
            const delayMs = 1 + Math.floor(random() * 20);
            net.join({ name: `d${i}`, chunks, window, delayMs, startMs: 0 });
          }
          expect(net.run(DAY_MS)).toBe(true);
          expect(net.published).toBeLessThanOrEqual(1.2 * chunks);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('sends a device that joins half-way only what it missed, once', () => {
    const net = network();
    net.join({ name: 'first', chunks: 2000, window: 32, delayMs: 5, startMs: 0 });
    net.join({ name: 'second', chunks: 2000, window: 32, delayMs: 5, startMs: 1000 });
    expect(net.run(DAY_MS)).toBe(true);
    expect(net.published).toBeLessThan(2 * 2000);
    expect(net.devices[1]?.duplicates).toBe(0);
  });

  it('never sends what no device lacks', () => {
    const net = network();
    const held = Array.from({ length: 150 }, (_, i) => i + 10);
    net.join({ name: 'a', chunks: 200, window: 32, delayMs: 5, startMs: 0, held });
    expect(net.run(DAY_MS)).toBe(true);
    expect(net.published).toBe(50);
  });

  it('sends at most one copy per distributor, whichever of them hears which want-list', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 4, max: 64 }),
        fc.integer(),
        (distributors, devices, window, seed) => {
          const net = network({ distributors, seed });
          for (let i = 0; i < devices; i++) {
            net.join({ name: `d${i}`, chunks: 200, window, delayMs: 5, startMs: 0 });
          }
          expect(net.run(DAY_MS)).toBe(true);
          expect(net.published).toBeLessThanOrEqual(distributors * 1.2 * 200);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('a slow device holds nobody up', () => {
    const net = network();
    net.join({ name: 'fast', chunks: 500, window: 32, delayMs: 2, startMs: 0 });
    net.join({ name: 'slow', chunks: 500, window: 4, delayMs: 1500, startMs: 0 });
    net.run(3000);
    expect(net.devices[0]?.lacking.count).toBe(0);
    expect(net.run(DAY_MS)).toBe(true);
  });
});

it('every device completes, whatever is lost, doubled, late or forgotten', () => {
  fc.assert(
    fc.property(
      fc.record({
        loss: fc.double({ min: 0, max: 0.4, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 0.3, noNaN: true }),
        jitterMs: fc.integer({ min: 0, max: 500 }),
        restartAfter: fc.integer({ min: 0, max: 60 }),
      }),
      fc.integer(),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 64 }),
      (faults, seed, devices, window) => {
        const net = network({ faults, seed, headerChunks: 2 });
        for (let i = 0; i < devices; i++) {
          net.join({ name: `d${i}`, chunks: 60, window, delayMs: 5, startMs: i * 100 });
        }
        expect(net.run(DAY_MS)).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

describe('DistributionPlan', () => {
  const want = (change: object = {}) => ({
    device: 'd',
    artifact: 'a',
    headerChunks: 1,
    window: 4,
    lacking: lackingAll(20),
    ...change,
  });

  function drain(plan: DistributionPlan, nowMs: number): string[] {
    const sent: string[] = [];
    for (let chunk = plan.next(nowMs); chunk !== undefined; chunk = plan.next(nowMs)) {
      sent.push(`${chunk.artifact}${chunk.index}`);
    }
    return sent;
  }

  const without = (...indices: number[]) => {
    const lacking = lackingAll(20);
    for (const index of indices) lacking.delete(index);
    return lacking;
  };

  it('sends the header first, then a window of payload', () => {
    const plan = new DistributionPlan();
    plan.want(want(), 0);
    expect(drain(plan, 0)).toEqual(['a0']);
    plan.want(want({ lacking: without(0) }), 10);
    expect(drain(plan, 10)).toEqual(['a1', 'a2', 'a3', 'a4']);
  });

  it('waits for the grace time before it takes silence for loss', () => {
    const plan = new DistributionPlan();
    plan.want(want(), 0);
    drain(plan, 0);
    plan.want(want(), 1000);
    expect(drain(plan, 1000)).toEqual([]);
    plan.want(want(), 2500);
    expect(drain(plan, 2500)).toEqual(['a0']);
  });

  it('takes what was sent a moment ago as under way to a device that asks now, not for long', () => {
    const plan = new DistributionPlan();
    plan.want(want({ device: 'x' }), 0);
    drain(plan, 0);
    plan.want(want({ device: 'y' }), 100);
    expect(drain(plan, 100)).toEqual([]);
    const wakeMs = plan.wakeMs() ?? Number.NaN;
    expect(drain(plan, wakeMs - 1)).toEqual([]);
    expect(drain(plan, wakeMs)).toEqual(['a0']);
    plan.want(want({ device: 'z' }), 10_000);
    expect(drain(plan, 10_000)).toEqual(['a0']);
  });

  it('sends what was overtaken again at once', () => {
    const plan = new DistributionPlan();
    plan.want(want({ window: 8, lacking: without(0) }), 0);
    expect(drain(plan, 0)).toHaveLength(8);
    plan.want(want({ window: 8, lacking: without(0, 2, 3, 4, 5, 6) }), 10);
    expect(drain(plan, 10)).toContain('a1');
  });

  it('alternates between artifacts and between devices', () => {
    const plan = new DistributionPlan();
    plan.want(want({ device: 'x', artifact: 'a', lacking: without(0) }), 0);
    plan.want(want({ device: 'y', artifact: 'b', lacking: without(0) }), 0);
    expect(drain(plan, 0).slice(0, 4)).toEqual(['a1', 'b1', 'a2', 'b2']);
  });

  it('takes a chunk that could not be published back', () => {
    const plan = new DistributionPlan();
    plan.want(want(), 0);
    expect(plan.next(0)).toMatchObject({ artifact: 'a', index: 0 });
    plan.unsent({ artifact: 'a', index: 0, lane: '' });
    expect(plan.next(0)).toMatchObject({ artifact: 'a', index: 0 });
  });
});
