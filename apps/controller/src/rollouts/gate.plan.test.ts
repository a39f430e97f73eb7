import { type Gate, type GateResult, gateSchema, type Measurement } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type GateFacts,
  type GateMember,
  gateNews,
  judgeGates,
  overridden,
  rejudged,
} from './gate.plan.ts';

const NEW = 'b'.repeat(64);
const OLD = 'a'.repeat(64);
const NOW = '2026-11-21T08:00:00.000Z';
const LATER = '2026-11-21T08:10:01.000Z';

function gate(change: Partial<Gate> = {}): Gate {
  const base = { name: 'speed', metric: 'decodeTokensPerSecond', min: 0.9 };
  return gateSchema.parse({ ...base, ...change });
}

function measured(artifactId: string, change: Partial<Measurement> = {}): Measurement {
  return {
    kind: 'Activation',
    measuredAt: NOW,
    artifactId,
    threads: 4,
    prefillTokensPerSecond: 100,
    decodeTokensPerSecond: 20,
    entropyDecodeGigabytesPerSecond: 1,
    loadSeconds: 2,
    peakRssBytes: 200 * 1024 * 1024,
    temperatureCelsius: 50,
    fingerprintDeviation: 0.001,
    ...change,
  };
}

/** A device whose new model is `ratio` times as fast as its old one. */
function member(device: string, ratio = 1, change: Partial<GateMember> = {}): GateMember {
  return {
    device,
    hardwareClass: 'orin',
    wave: 0,
    isActive: true,
    activatedAt: NOW,
    artifactId: NEW,
    previousArtifactId: OLD,
    measurement: measured(NEW, { decodeTokensPerSecond: 20 * ratio }),
    baseline: measured(OLD),
    ...change,
  };
}

function judge(change: Partial<GateFacts> = {}) {
  return judgeGates({ gates: [gate()], members: [], wave: 0, now: NOW, previous: [], ...change });
}

describe('judgeGates', () => {
  it('shows the sum of a failure, worst device first', () => {
    const members = [member('jetson-1', 0.95), member('jetson-2', 0.706), member('jetson-3', 0.71)];
    const verdict = judge({ members });
    expect(verdict.outcome).toBe('Failed');
    const message =
      "decodeTokensPerSecond of class orin: median 0.71 of the previous model's over 3 devices " +
      '(min 0.9); jetson-2 14.12 / 20 = 0.706, jetson-3 14.2 / 20 = 0.710, ' +
      'jetson-1 19 / 20 = 0.950';
    expect(verdict.results).toEqual([
      {
        ...{ gate: 'speed', wave: 0, hardwareClass: 'orin', outcome: 'Failed' },
        ...{ observed: 0.71, samples: 3, message, at: NOW },
      },
    ]);
    expect(verdict.message).toBe(`gate speed: ${message}`);
    expect(verdict.blockedClasses.get('orin')).toBe(verdict.results[0]);
  });

  it('judges each class by itself, and blocks the one that fails', () => {
    const members = [member('a', 0.7), member('b', 1, { hardwareClass: 'nano' })];
    const verdict = judge({ members });
    expect(verdict.results.map((r) => [r.hardwareClass, r.outcome])).toEqual([
      ['nano', 'Passed'],
      ['orin', 'Failed'],
    ]);
    expect([...verdict.blockedClasses.keys()]).toEqual(['orin']);
  });

  it.each<[string, Partial<GateMember>, string]>([
    ['no measurement', { measurement: null }, 'has measured nothing'],
    ['one of another model', { measurement: measured(OLD) }, 'has not measured this model'],
    [
      'one without the figure',
      { measurement: measured(NEW, { decodeTokensPerSecond: null }) },
      'has no decodeTokensPerSecond for this model',
    ],
    ['no baseline', { baseline: null }, 'has no measurement of a previous model'],
    ['a baseline of the new model', { baseline: measured(NEW) }, 'another model than the previous'],
    [
      'a baseline of a third model',
      { baseline: measured('c'.repeat(64)) },
      'another model than the previous',
    ],
    [
      'a baseline of nothing',
      { baseline: measured(OLD, { decodeTokensPerSecond: 0 }) },
      'gives no ratio',
    ],
    [
      'a stale baseline',
      { baseline: measured(OLD, { measuredAt: '2026-11-01T08:00:00.000Z' }) },
      'measured its previous model 20 days apart, 7 are allowed',
    ],
  ])('waits for a device with %s, then gives up', (_, change, words) => {
    const members = [member('a'), member('b', 1, change)];
    const waiting = judge({ members });
    expect(waiting.outcome).toBe('Waiting');
    expect(waiting.results[0]).toMatchObject({ outcome: 'Inconclusive', samples: 1 });
    expect(waiting.results[0]?.message).toContain(words);
    const later = judge({ members, now: LATER, previous: waiting.results });
    expect(later.outcome).toBe('InconclusiveTooLong');
    expect(later.results).toEqual(waiting.results);
    expect(later.blockedClasses.has('orin')).toBe(true);
  });

  it('passes over devices that are offline, and those of later waves', () => {
    const offline = member('b', 0.1, { isActive: false, measurement: null });
    const members = [member('a'), offline, member('c', 0.1, { wave: 1 })];
    expect(judge({ members }).outcome).toBe('Passed');
    expect(judge({ members: [offline] })).toMatchObject({ outcome: 'Passed', results: [] });
  });

  it('wants the minimum of samples', () => {
    const gates = [gate({ minimumSamples: 3 })];
    const few = judge({ gates, members: [member('a'), member('b')] });
    expect(few.outcome).toBe('Waiting');
    expect(few.results[0]?.message).toContain('2 of at least 3 devices (minimumSamples)');
    const members = ['a', 'b', 'c'].map((name) => member(name));
    expect(judge({ gates, members }).outcome).toBe('Passed');
  });

  it('holds fixed bounds against the figures themselves', () => {
    const gates = [gate({ metric: 'peakRssBytes', against: 'Fixed', min: 0, max: 100 * 2 ** 20 })];
    const verdict = judge({ gates, members: [member('a', 1, { baseline: null })] });
    expect(verdict.outcome).toBe('Failed');
    expect(verdict.results[0]?.message).toBe(
      'peakRssBytes of class orin: median 200.0 MiB over 1 device (min 0.0 MiB, max 100.0 MiB); ' +
        'a 200.0 MiB',
    );
  });

  it('fails a Worst gate on one device, and a Median gate not', () => {
    const members = [member('a'), member('b'), member('c', 0.5)];
    expect(judge({ members }).outcome).toBe('Passed');
    const worst = judge({ members, gates: [gate({ statistic: 'Worst' })] });
    expect(worst.results[0]).toMatchObject({ outcome: 'Failed', observed: 0.5 });
  });

  it('needs not hear of every device to fail a Worst gate, but to fail a Median one', () => {
    const members = [member('a', 0.5), member('b', 1, { measurement: null })];
    expect(judge({ members, gates: [gate({ statistic: 'Worst' })] }).outcome).toBe('Failed');
    expect(judge({ members }).outcome).toBe('Waiting');
  });
});

describe('results over time', () => {
  const passed = judge({ members: [member('a')] });
  const failed = judge({ members: [member('a', 0.7)] });

  it('keeps a pass when figures get worse, until further devices are active', () => {
    const noisy = judge({ members: [member('a', 0.8)], previous: passed.results, now: LATER });
    expect(noisy.results).toEqual(passed.results);
    const newcomer = member('b', 0.5, { activatedAt: LATER });
    const members = [member('a'), newcomer];
    const again = judge({ members, previous: passed.results, now: LATER });
    expect(again.results[0]).toMatchObject({ outcome: 'Failed', samples: 2 });
    const next = judge({ members: [member('a', 1), member('b', 1, { wave: 1 })], wave: 1 });
    expect(next.results[0]).toMatchObject({ outcome: 'Passed', wave: 1, samples: 2 });
  });

  it('keeps a failure until it is retried or overridden, even when the class is offline', () => {
    const better = { members: [member('a', 1)], previous: failed.results, now: LATER };
    expect(judge(better).results).toEqual(failed.results);
    expect(judge({ ...better, members: [] }).outcome).toBe('Failed');
    const newcomer = member('b', 2, { activatedAt: LATER });
    expect(judge({ ...better, members: [member('a', 1), newcomer] }).outcome).toBe('Failed');
    expect(judge({ ...better, previous: rejudged(failed.results) }).outcome).toBe('Passed');
    expect(rejudged(passed.results)).toEqual(passed.results);
  });

  it('lets one more wave go that a person has overridden, and judges that anew', () => {
    const previous = overridden(failed.results, LATER);
    expect(previous[0]).toMatchObject({ outcome: 'Failed', overriddenAt: LATER });
    const resumed = judge({ members: [member('a', 0.7)], previous, now: LATER });
    expect(resumed).toMatchObject({ outcome: 'Passed', results: previous });
    expect(resumed.blockedClasses.size).toBe(0);
    const members = [member('a', 0.7), member('b', 0.7, { wave: 1 })];
    const next = judge({ members, previous, wave: 1, now: LATER });
    expect(next.results[0]).toMatchObject({ outcome: 'Failed', wave: 1, samples: 2 });
    expect(next.results[0]?.overriddenAt).toBeUndefined();
  });

  it('tells each decision once', () => {
    expect(gateNews([], failed.results)).toEqual(failed.results);
    expect(gateNews(failed.results, failed.results)).toEqual([]);
    const after = overridden(failed.results, LATER);
    expect(gateNews(failed.results, after)).toEqual(after);
  });

  it('forgets gates that the spec has no more', () => {
    const gates = [gate({ name: 'other' })];
    const verdict = judge({ gates, members: [member('a')], previous: failed.results });
    expect(verdict).toMatchObject({ outcome: 'Passed', results: [{ gate: 'other' }] });
  });
});

const ratios = fc.double({ min: 0.1, max: 2, noNaN: true });
const someMembers = fc
  .array(
    fc.record({
      ratio: ratios,
      hardwareClass: fc.constantFrom('orin', 'nano'),
      wave: fc.integer({ min: 0, max: 2 }),
      isActive: fc.boolean(),
      lacks: fc.constantFrom('nothing', 'measurement', 'baseline'),
    }),
    { maxLength: 12 },
  )
  .map((list) =>
    list.map(({ ratio, lacks, ...change }, index) => {
      const full = member(`d${index}`, ratio, change);
      return lacks === 'nothing' ? full : { ...full, [lacks]: null };
    }),
  );
const someGate = fc
  .record({
    statistic: fc.constantFrom('Median' as const, 'Worst' as const),
    minimumSamples: fc.integer({ min: 1, max: 4 }),
    min: ratios,
  })
  .map((change) => gate(change));

function outcomeOf(results: readonly GateResult[], hardwareClass: string) {
  return results.find((result) => result.hardwareClass === hardwareClass)?.outcome;
}

describe('any fleet', () => {
  it('never passes a class with an active member that lacks evidence', () => {
    fc.assert(
      fc.property(someMembers, someGate, fc.integer({ min: 0, max: 2 }), (members, rule, wave) => {
        const { results, blockedClasses } = judge({ members, gates: [rule], wave });
        for (const { hardwareClass, isActive, measurement, baseline, wave: own } of members) {
          if (!isActive || own > wave || (measurement !== null && baseline !== null)) continue;
          expect(outcomeOf(results, hardwareClass)).not.toBe('Passed');
          expect(blockedClasses.has(hardwareClass)).toBe(true);
        }
      }),
    );
  });

  it('is judged alike in any order of its members', () => {
    const shuffled = someMembers.chain((members) =>
      fc.tuple(
        fc.constant(members),
        fc.shuffledSubarray(members, { minLength: members.length, maxLength: members.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, someGate, ([members, other], rule) => {
        const [one, two] = [members, other].map((m) => judge({ members: m, gates: [rule] }));
        expect(two).toEqual(one);
      }),
    );
  });

  it('does not fail a Worst gate, or forget that it has, by a device that is well', () => {
    fc.assert(
      fc.property(someMembers, someGate, ratios, (members, rule, above) => {
        const worst = { ...rule, statistic: 'Worst' as const };
        const well = member('well', (worst.min ?? 0) + above);
        const before = judge({ members, gates: [worst] });
        const after = judge({ members: [...members, well], gates: [worst] });
        const was = outcomeOf(before.results, 'orin');
        const is = outcomeOf(after.results, 'orin');
        if (was === 'Passed') expect(is).toBe('Passed');
        if (was === 'Failed') expect(is).toBe('Failed');
      }),
    );
  });

  it('is judged by one class alone for each class', () => {
    fc.assert(
      fc.property(someMembers, someGate, (members, rule) => {
        const all = judge({ members, gates: [rule] });
        for (const name of ['orin', 'nano']) {
          const alone = members.filter(({ hardwareClass }) => hardwareClass === name);
          const own = all.results.filter(({ hardwareClass }) => hardwareClass === name);
          expect(judge({ members: alone, gates: [rule] }).results).toEqual(own);
        }
      }),
    );
  });

  it('stays as it is when it is judged again', () => {
    fc.assert(
      fc.property(someMembers, someGate, (members, rule) => {
        const once = judge({ members, gates: [rule] });
        const twice = judge({ members, gates: [rule], previous: once.results, now: LATER });
        expect(twice.results).toEqual(once.results);
      }),
    );
  });
});

describe('gateSchema', () => {
  it('refuses bounds that nothing can be within', () => {
    const metric = 'decodeTokensPerSecond';
    const fault = (bounds: object) => gateSchema.safeParse({ name: 'g', metric, ...bounds }).error;
    expect(fault({ min: 1, max: 1 })).toBeUndefined();
    expect(fault({})?.message).toMatch(/give min, max or both/);
    expect(fault({ min: 2, max: 1 })?.message).toMatch(/min must not be above max/);
  });
});
