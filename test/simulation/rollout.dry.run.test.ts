import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeVariants } from '../../apps/controller/src/rollouts/acceptance.plan.ts';
import {
  estimateReuse,
  type LackingBytes,
  lackingOf,
  pairKey,
} from '../../apps/controller/src/rollouts/reuse.plan.ts';
import { dryRun } from '../../apps/controller/src/rollouts/rollout.dry.run.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import {
  actualUpdate,
  classPaces,
  predictor,
  predictUpdate,
} from '../../apps/controller/src/rollouts/update.prediction.ts';
import type { Capabilities, Device, Report, Target } from '../../libs/protocol/src/index.ts';
import {
  digest,
  exampleArtifact,
  exampleDevice,
  exampleModel,
  exampleReport,
  exampleRollout,
  NOW,
} from '../support/fleet.examples.ts';

const MIB = 1024 * 1024;
const OLD = { model: 'stories', variant: 'u8', artifactId: digest('old') };
const NEW = { ...OLD, artifactId: digest('artifact') };

function device(
  name: string,
  use: { capabilities?: Partial<Capabilities>; report?: Partial<Report>; online?: boolean } = {},
): Device {
  const base = exampleReport(name);
  const capabilities = { ...base.capabilities, ...use.capabilities };
  const report = { ...base, capabilities, ...use.report };
  return exampleDevice(name, { report, online: use.online ?? true });
}

/** A device that has been updated to 10 MiB in 1 s, of which it activated for a tenth. */
function updated(name: string): Device {
  const download = {
    ...{ chunksTotal: 40, chunksHeld: 40, bytesTotal: 10 * MIB, bytesHeld: 10 * MIB },
    ...{ bytesReceived: 4 * MIB, bytesDuplicate: 0, chunksCorrupt: 0 },
  };
  const phaseSeconds = {
    ...{ Downloading: 5, Verifying: 0.2, Staged: 300, Decoding: 0.4 },
    ...{ Testing: 0.3, Activating: 0.1 },
  };
  const report = { phase: 'Active' as const, active: OLD, target: OLD, download, phaseSeconds };
  return device(name, { report });
}

function theTarget(): Target {
  const acceptance = judgeVariants(
    exampleRollout().spec,
    exampleModel(),
    new Map([['u8', exampleArtifact()]]),
  );
  const target = acceptance.kind === 'Accepted' ? acceptance.candidates[0]?.target : undefined;
  if (target === undefined) throw new Error('the example is accepted');
  return target;
}

describe('estimateReuse', () => {
  const target = theTarget();
  const size = target.artifact.sizeBytes;
  const runsOld = device('d', { report: { active: OLD, phase: 'Active' } });
  const none: LackingBytes = new Map();

  it('fetches all of it, or what is missing of a download', () => {
    const fresh = estimateReuse({ device: device('d'), target, lackingBytes: none });
    expect(fresh.bytesToFetch).toBe(size);
    const download = {
      ...{ chunksTotal: 80, chunksHeld: 60, bytesTotal: size, bytesHeld: 15 * MIB },
      ...{ bytesReceived: 0, bytesDuplicate: 0, chunksCorrupt: 0 },
    };
    const half = device('d', { report: { target: NEW, download, phase: 'Downloading' } });
    const left = estimateReuse({ device: half, target, lackingBytes: none });
    expect(left.bytesToFetch).toBe(5 * MIB);
    const other = device('d', { report: { target: OLD, download, phase: 'Downloading' } });
    expect(estimateReuse({ device: other, target, lackingBytes: none }).bytesToFetch).toBe(size);
  });

  it('leaves out chunks of the artifact that runs, or takes a smaller delta to it', () => {
    const pair = pairKey({ held: OLD.artifactId, wanted: NEW.artifactId });
    const lackingBytes: LackingBytes = new Map([[pair, { bytesToFetch: 3 * MIB, by: 'Chunks' }]]);
    expect(estimateReuse({ device: runsOld, target, lackingBytes })).toEqual({
      bytesToFetch: 3 * MIB,
      explanation: 'all but 17.0 MiB it has in stories u8',
    });
    const delta: LackingBytes = new Map([[pair, { bytesToFetch: 2 * MIB, by: 'Delta' }]]);
    expect(estimateReuse({ device: runsOld, target, lackingBytes: delta })).toEqual({
      bytesToFetch: 2 * MIB,
      explanation: 'the difference to stories u8',
    });
    const same = device('d', { report: { active: NEW, phase: 'Active' } });
    expect(estimateReuse({ device: same, target, lackingBytes }).bytesToFetch).toBe(0);
  });

  it('counts the bytes of chunks that are new', () => {
    const chunk = (sha256: string, sizeBytes: number) => ({ sha256, sizeBytes });
    const held = [chunk('a', 1), chunk('b', 2)];
    expect(lackingOf(held, [chunk('b', 2), chunk('c', 4), chunk('d', 8)])).toBe(12);
    expect(lackingOf(held, held)).toBe(0);
  });
});

describe('predictUpdate', () => {
  const target = theTarget();
  const reuse = { bytesToFetch: 8 * MIB, explanation: 'the rest' };

  it('adds fetching at the measured speed to what the class took before, by size', () => {
    const paces = classPaces([updated('a'), updated('b')]);
    const one = device('c', { capabilities: { linkBytesPerSecond: 2 * MIB } });
    const { seconds, explanation } = predictUpdate({ device: one, target, reuse, paces });
    // 20 MiB take twice the 0.9 s that 10 MiB took, and activating takes 0.1 s whatever the size.
    expect(seconds).toBeCloseTo(4 + 1.8 + 0.1, 6);
    expect(explanation).toBe(
      '8.0 MiB to fetch (the rest) / 2.0 MiB/s = 4.0 s; 1.9 s to verify, decode, test and activate, ' +
        'as 2 of its class did',
    );
  });

  it('knows nothing of a link or a class that has not been measured', () => {
    const paces = classPaces([updated('a')]);
    const unlinked = predictUpdate({ device: device('c'), target, reuse, paces });
    expect(unlinked.seconds).toBeNull();
    expect(unlinked.explanation).toMatch(/MiB to fetch.*not known: its link speed has not been/);
    const linked = { linkBytesPerSecond: MIB, accelerator: 'another class' };
    const other = device('c', { capabilities: linked });
    const unknown = predictUpdate({ device: other, target, reuse, paces });
    expect(unknown.seconds).toBeNull();
    expect(unknown.explanation).toContain('no device of its class');
  });

  it('is held against what the device says it took, without waiting', () => {
    const { report } = updated('a').status;
    const cost = actualUpdate(report, OLD.artifactId);
    expect(cost).toEqual({ bytesFetched: 4 * MIB, seconds: expect.closeTo(6, 6) });
    expect(actualUpdate(report, NEW.artifactId)).toBeNull();
  });
});

describe('dryRun', () => {
  function facts(change: Partial<RolloutFacts> = {}) {
    const rollout: RolloutFacts = {
      rollout: exampleRollout({ strategy: { waves: [{ count: 1 }, { percent: 50 }] } }),
      members: [],
      model: exampleModel(),
      artifacts: new Map([['u8', exampleArtifact()]]),
      devices: ['a', 'b', 'c', 'd'].map((name) => device(name)),
      others: [],
      footprints: new Map(),
      earlierTargets: new Map(),
      specDigest: 'one',
      now: NOW,
      ...change,
    };
    const artifacts = new Map([['u8', exampleArtifact()]]);
    const { spec } = rollout.rollout;
    return {
      rollout,
      acceptance: judgeVariants(spec, rollout.model, artifacts),
      predict: predictor({
        lackingBytes: new Map([
          [
            pairKey({ held: OLD.artifactId, wanted: NEW.artifactId }),
            { bytesToFetch: 5 * MIB, by: 'Chunks' as const },
          ],
        ]),
        paces: classPaces([updated('past')]),
      }),
    };
  }
  const fast = { linkBytesPerSecond: 20 * MIB };

  it('says for each device wave, variant, bytes and time, and sums them up', () => {
    const devices = [
      device('a', { capabilities: fast }),
      device('b', { capabilities: fast, report: { active: OLD, phase: 'Active' } }),
      device('c', { capabilities: fast }),
      device('d', { report: { active: NEW, phase: 'Active' } }),
    ];
    const { items, waves, totals } = dryRun(facts({ devices }));
    const seen = items.map(({ device: name, wave, outcome, variant, bytesToFetch }) => [
      ...[name, wave, outcome, variant, bytesToFetch],
    ]);
    expect(seen).toEqual([
      ['a', 0, 'Update', 'u8', 20 * MIB],
      ['b', 1, 'Update', 'u8', 5 * MIB],
      ['c', 1, 'Update', 'u8', 20 * MIB],
      ['d', 2, 'Active', 'u8', 0],
    ]);
    expect(waves.map((wave) => [wave.devices, wave.bytesToFetch, wave.bytesPublished])).toEqual([
      [1, 20 * MIB, 20 * MIB],
      [2, 25 * MIB, 20 * MIB],
      [1, 0, 0],
    ]);
    expect(totals).toMatchObject({ devices: 4, updates: 3, active: 1, bytesToFetch: 45 * MIB });
    // 1 s to fetch and 1.9 s for the rest, twice; the last wave has nothing to do.
    expect(totals.seconds).toBeCloseTo(5.8, 6);
  });

  it('says why not', () => {
    const small = device('small', { capabilities: { memoryBytes: MIB } });
    const gone = device('gone', { online: false });
    const pinned = { ...device('pinned'), spec: { labels: {}, pinned: true, quarantined: false } };
    const { items, totals } = dryRun(facts({ devices: [small, gone, pinned] }));
    expect(items.map(({ device: name, outcome, wave }) => [name, outcome, wave])).toEqual([
      ['gone', 'Offline', null],
      ['pinned', 'Pinned', null],
      ['small', 'Unfit', null],
    ]);
    expect(items[0]?.bytesToFetch).toBe(20 * MIB);
    expect(items[2]?.message).toContain('the device has 1.0 MiB of memory');
    expect(totals).toMatchObject({ updates: 0, offline: 1, left: 2, bytesToFetch: 0 });
    const none = dryRun(facts({ model: undefined }));
    expect(none.accepted).toMatchObject({ status: 'Rejected', reason: 'UnknownModel' });
    expect(none.items.map(({ outcome }) => outcome)).toEqual(Array(4).fill('NotAccepted'));
  });

  it('takes longer with a pace, or when few may be unavailable at once', () => {
    const devices = ['a', 'b', 'c', 'd'].map((name) => device(name, { capabilities: fast }));
    const secondsOf = (strategy: object) => {
      const rollout = exampleRollout({ strategy: { waves: [{ percent: 100 }], ...strategy } });
      return dryRun(facts({ devices, rollout })).totals.seconds;
    };
    expect(secondsOf({})).toBeCloseTo(2.9, 6);
    expect(secondsOf({ maxUnavailable: 2 })).toBeCloseTo(5.8, 6);
    expect(secondsOf({ maxUnavailable: '25%' })).toBeCloseTo(11.6, 6);
    const pace = { devicesPerMinute: 6, growth: null };
    expect(secondsOf({ pace })).toBeCloseTo(32.9, 6);
  });

  it('puts every device that goes in one wave, whatever the fleet is like', () => {
    const fleet = fc.array(
      fc.record({ online: fc.boolean(), runs: fc.boolean(), fits: fc.boolean() }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(fleet, (list) => {
        const devices = list.map(({ online, runs, fits }, index) =>
          device(`d${index}`, {
            online,
            capabilities: { memoryBytes: fits ? 8192 * MIB : MIB },
            report: runs ? { active: NEW, phase: 'Active' } : {},
          }),
        );
        const { items, waves, totals } = dryRun(facts({ devices }));
        expect(items).toHaveLength(list.length);
        for (const { outcome, wave } of items) {
          expect(wave !== null).toBe(outcome === 'Update' || outcome === 'Active');
        }
        const { updates, active, offline, left } = totals;
        expect(updates + active + offline + left).toBe(totals.devices);
        expect(waves.reduce((sum, wave) => sum + wave.devices, 0)).toBe(updates + active);
      }),
    );
  });
});
