import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openWaves, splitWaves, type WaveEntry } from './rollout.waves.ts';

const waves = fc.array(
  fc.oneof(
    fc.record({ count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
  ),
  { minLength: 1, maxLength: 4 },
);

function entry(device: string, change: Partial<WaveEntry> = {}): WaveEntry {
  return {
    device,
    labels: {},
    wave: null,
    holdsRoom: false,
    isBusy: false,
    isCandidate: true,
    isUnderway: false,
    isActive: false,
    ...change,
  };
}

function unlabelled(device: string) {
  return { device, labels: {} };
}

describe('splitWaves', () => {
  it.each([
    [
      ['a', 'b', 'c'],
      [{ count: 1 }, { percent: 25 }, { percent: 100 }],
      [['a'], ['b'], ['c']],
    ],
    [['a', 'b', 'c'], [{ percent: 50 }], [['a', 'b'], ['c']]],
    [['a'], [{ count: 5 }, { count: 1 }], [['a']]],
    [[], [{ count: 1 }], []],
  ])('cuts %j by %j', (devices, specs, split) => {
    expect(splitWaves(devices.map(unlabelled), specs)).toEqual(split);
  });

  it('keeps every device, once, in order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), waves, (devices, specs) => {
        expect(splitWaves(devices.map(unlabelled), specs).flat()).toEqual(devices);
      }),
    );
  });
});

describe('openWaves', () => {
  const specs = [{ count: 1 }, { count: 2 }];
  const open = (entries: WaveEntry[], currentWave = 0) =>
    openWaves({ entries, waves: specs, currentWave, selected: entries.length });

  it('starts the open wave only', () => {
    expect(open([entry('a'), entry('b')])).toEqual({
      currentWave: 0,
      starts: [{ device: 'a', wave: 0 }],
      waitsFor: 'Wave',
    });
  });

  it('gives the room of a device that cannot start to the next one', () => {
    const { starts } = open([entry('a', { isCandidate: false }), entry('b')]);
    expect(starts).toEqual([{ device: 'b', wave: 0 }]);
  });

  it('waits for what is busy, then opens the next wave', () => {
    const busy = { wave: 0, holdsRoom: true, isBusy: true, isCandidate: false };
    expect(open([entry('a', busy), entry('b')]).starts).toEqual([]);
    const done = { ...busy, isBusy: false };
    expect(open([entry('a', done), entry('b'), entry('c'), entry('d')])).toEqual({
      currentWave: 1,
      starts: [
        { device: 'b', wave: 1 },
        { device: 'c', wave: 1 },
      ],
      waitsFor: 'Wave',
    });
  });

  it('walks through waves of devices that run the target already', () => {
    const active = { isActive: true, isUnderway: false };
    const { currentWave, starts } = open([entry('a', active), entry('b', active), entry('c')]);
    expect(currentWave).toBe(1);
    expect(starts.map((s) => s.wave)).toEqual([0, 1, 1]);
  });

  it('puts what is left over, and late joiners, into one more wave', () => {
    const done = { holdsRoom: true, isCandidate: false };
    const entries = [
      entry('a', { ...done, wave: 0 }),
      entry('b', { ...done, wave: 1 }),
      entry('c', { ...done, wave: 1 }),
      entry('d'),
      entry('e'),
    ];
    expect(open(entries, 1).starts.map((s) => s.wave)).toEqual([2, 2]);
  });

  it('takes a device that is underway already before a fresh one', () => {
    expect(open([entry('a'), entry('b', { isUnderway: true })]).starts).toEqual([
      { device: 'b', wave: 0 },
    ]);
  });
});
