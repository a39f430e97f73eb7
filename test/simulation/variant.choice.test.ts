import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeVariants } from '../../apps/controller/src/rollouts/acceptance.plan.ts';
import { misfit } from '../../apps/controller/src/rollouts/fitness.plan.ts';
import {
  chooseVariant,
  type VariantCandidate,
  type VariantChoiceFacts,
} from '../../apps/controller/src/rollouts/variant.choice.plan.ts';
import {
  type Capabilities,
  type Device,
  type Model,
  type Report,
  rolloutSpecSchema,
  type Target,
  timeoutsSchema,
} from '../../libs/protocol/src/index.ts';
import {
  digest,
  exampleArtifact,
  exampleDevice,
  exampleModel,
  exampleReport,
} from '../support/fleet.examples.ts';

const MIB = 1024 * 1024;
const OLD = { model: 'stories', variant: 'u8', artifactId: digest('old') };

function target(variant: string, use: { sizeMib: number; memoryMib: number }): Target {
  const artifact = exampleArtifact({ id: digest(variant), variant });
  return {
    model: 'stories',
    variant,
    artifact: { ...artifact.ref, sizeBytes: use.sizeMib * MIB },
    memoryBytes: use.memoryMib * MIB,
    contextLength: 1024,
    kvCacheBytes: 10 * MIB,
    probe: artifact.probe,
    samplePrompt: null,
  };
}

function candidate(
  variant: string,
  use: { sizeMib: number; memoryMib: number; ratio: number; isWithinBound?: boolean },
): VariantCandidate {
  return {
    variant,
    target: target(variant, use),
    perplexityRatio: use.ratio,
    sizeBytes: use.sizeMib * MIB,
    isWithinBound: use.isWithinBound ?? true,
  };
}

const FINE = candidate('u8', { sizeMib: 80, memoryMib: 120, ratio: 1.001 });
const SMALL = candidate('rd-4', { sizeMib: 45, memoryMib: 70, ratio: 1.02 });
const BROKEN = candidate('u4', { sizeMib: 20, memoryMib: 60, ratio: 218, isWithinBound: false });
const ALL = [SMALL, BROKEN, FINE];

function device(capabilities: Partial<Capabilities> = {}, report: Partial<Report> = {}): Device {
  const base = exampleReport('d1');
  const all = { ...base.capabilities, ...capabilities };
  return exampleDevice('d1', { report: { ...base, capabilities: all, ...report } });
}

function choose(change: Partial<VariantChoiceFacts> = {}) {
  return chooseVariant({
    device: device(),
    candidates: ALL,
    preference: 'Quality',
    footprints: new Map([[OLD.artifactId, { decodedBytes: 50 * MIB, codedBytes: 20 * MIB }]]),
    ...change,
  });
}

describe('chooseVariant', () => {
  it.each([
    ['Quality', 'u8', 'the best that fits: 1.001 times'],
    ['Size', 'rd-4', 'the smallest that fits: 45.0 MiB'],
    ['Speed', 'rd-4', 'the fastest that fits: 70.0 MiB of resident weights'],
  ] as const)('by %s takes %s', (preference, variant, words) => {
    const { chosen, message, rejected } = choose({ preference });
    expect(chosen?.variant).toBe(variant);
    expect(message).toContain(words);
    expect(rejected.map((r) => [r.variant, r.reason])).toEqual([['u4', 'PerplexityBeyondBound']]);
  });

  it('takes one beyond the bound only when it is forced and no other fits', () => {
    expect(choose({ isForced: true, preference: 'Size' }).chosen?.variant).toBe('rd-4');
    const tiny = device({ memoryBytes: 32 * MIB });
    expect(choose({ device: tiny, isForced: true }).chosen?.variant).toBe('u4');
    const none = choose({ device: tiny });
    expect(none.chosen).toBeUndefined();
    expect(none.rejected.map((r) => r.variant)).toEqual(['rd-4', 'u4', 'u8']);
  });

  it('counts the KV cache and the model that serves until then, and shows the sum', () => {
    const busy = device({ memoryBytes: 110 * MIB }, { phase: 'Active', active: OLD });
    const { chosen, rejected } = choose({ device: busy });
    expect(chosen?.variant).toBe('rd-4');
    expect(rejected.find((r) => r.variant === 'u8')?.message).toContain(
      'stories u8 needs 80.0 MiB for weights + 10.0 MiB for the KV cache + 50.0 MiB of stories ' +
        'until then = 140.0 MiB; the device has 110.0 MiB of memory',
    );
  });

  it('goes by the memory that is available beside everything else', () => {
    const full = device({ memoryBytes: 8192 * MIB, memoryAvailableBytes: 60 * MIB });
    const { chosen, rejected } = choose({ device: full });
    expect(chosen?.variant).toBe('rd-4');
    expect(rejected.find((r) => r.variant === 'u8')?.message).toContain(
      '= 90.0 MiB; the device has 60.0 MiB available of 8192.0 MiB beside what runs on it now',
    );
  });

  it('counts what is held of a download as disk that is taken already', () => {
    const report = {
      phase: 'Downloading' as const,
      target: { model: 'stories', variant: 'u8', artifactId: FINE.target.artifact.id },
      download: {
        ...{ chunksTotal: 320, chunksHeld: 280, bytesTotal: 80 * MIB, bytesHeld: 70 * MIB },
        ...{ bytesReceived: 70 * MIB, bytesDuplicate: 0, chunksCorrupt: 0 },
      },
    };
    expect(choose({ device: device({ diskFreeBytes: 10 * MIB }, report) }).chosen?.variant).toBe(
      'u8',
    );
    const tight = choose({ device: device({ diskFreeBytes: 9 * MIB }, report) });
    expect(tight.rejected.find((r) => r.variant === 'u8')).toMatchObject({
      reason: 'NotEnoughDisk',
      message: expect.stringContaining('80.0 MiB on disk - 70.0 MiB held = 10.0 MiB; the device'),
    });
  });

  it('expects tokens by how often the weights can be read as they would be held', () => {
    const fast = device({ readBytesPerSecond: 7000 * MIB });
    const both = choose({ device: fast, preference: 'Speed' });
    expect(both.chosen?.variant).toBe('rd-4');
    expect(both.message).toContain('about 100.0 tokens/s from 70.0 MiB of resident weights');
    // 60 MiB hold the smaller artifact but not its decoded weights: each token decodes them again.
    const narrow = device({ readBytesPerSecond: 7000 * MIB, memoryAvailableBytes: 60 * MIB });
    const coded = choose({ device: narrow, preference: 'Speed' });
    expect(coded.message).toMatch(/45\.0 MiB of coded weights .* s to decode them/);
  });

  it('leaves out what would run into a timeout on the measured link', () => {
    const slow = device({ linkBytesPerSecond: MIB });
    const timeouts = timeoutsSchema.parse({ downloadSeconds: 60 });
    const { chosen, rejected } = choose({ device: slow, timeouts });
    expect(chosen?.variant).toBe('rd-4');
    expect(rejected.find((r) => r.variant === 'u8')).toMatchObject({
      reason: 'DownloadTooSlow',
      message:
        'stories u8 takes 80.0 MiB to fetch / 1.0 MiB/s = 80.0 s, downloadSeconds is 60. ' +
        'Allow more, or choose a smaller variant',
    });
    const bytesToFetch = (to: Target) => (to.variant === 'u8' ? 50 * MIB : undefined);
    expect(choose({ device: slow, timeouts, bytesToFetch }).chosen?.variant).toBe('u8');
  });

  it('leaves out what would be decoded, or updated as a whole, too late', () => {
    const measurement = {
      ...{ kind: 'Activation' as const, measuredAt: '2026-11-21T08:00:00.000Z', threads: 4 },
      ...{ artifactId: OLD.artifactId, prefillTokensPerSecond: null, decodeTokensPerSecond: null },
      ...{ entropyDecodeGigabytesPerSecond: 0.01, loadSeconds: null, peakRssBytes: null },
      ...{ temperatureCelsius: null, fingerprintDeviation: null },
    };
    const slow = device({ linkBytesPerSecond: 10 * MIB }, { measurement });
    const late = (timeouts: object) =>
      misfit(slow, FINE.target, new Map(), { timeouts: timeoutsSchema.parse(timeouts) });
    expect(late({ decodeSeconds: 10 })?.reason).toBe('DecodeTooSlow');
    expect(late({ wholeSeconds: 20 })?.reason).toBe('UpdateTooSlow');
    expect(late({ wholeSeconds: 20 })?.message).toContain('= 8.0 s + 120.0 MiB to decode');
    expect(late({ wholeSeconds: 21, decodeSeconds: 13 })).toBeUndefined();
  });

  it('does not depend on the order of the variants, and chooses only what fits', () => {
    const mebibytes = fc.integer({ min: 1, max: 200 });
    const candidates = fc.array(
      fc.record({ sizeMib: mebibytes, memoryMib: mebibytes, ratio: fc.double({ min: 1, max: 9 }) }),
      { maxLength: 8 },
    );
    const preferences = fc.constantFrom('Quality' as const, 'Speed' as const, 'Size' as const);
    fc.assert(
      fc.property(candidates, mebibytes, preferences, (list, memoryMib, preference) => {
        const all = list.map((use, index) => candidate(`v${index}`, use));
        const facts = { device: device({ memoryBytes: memoryMib * MIB }), preference };
        const one = choose({ ...facts, candidates: all });
        const two = choose({ ...facts, candidates: all.toReversed() });
        expect(two.chosen).toEqual(one.chosen);
        const fitting = all.filter((c) => misfit(facts.device, c.target, new Map()) === undefined);
        expect(one.rejected).toHaveLength(all.length - fitting.length);
        expect(one.chosen === undefined).toBe(fitting.length === 0);
        if (preference !== 'Quality' || one.chosen === undefined) return;
        const chosen = fitting.find((c) => c.variant === one.chosen?.variant);
        expect(chosen?.perplexityRatio).toBe(Math.min(...fitting.map((c) => c.perplexityRatio)));
      }),
    );
  });
});

describe('judgeVariants', () => {
  const u8 = exampleArtifact();
  const u4 = exampleArtifact({ id: digest('u4-paper'), variant: 'u4-paper' });
  const artifacts = new Map([
    ['u8', u8],
    ['u4-paper', u4],
  ]);

  function model(change: Partial<Model['status']['variants'][number]>): Model {
    const base = exampleModel();
    const [first] = base.status.variants;
    if (first === undefined) throw new Error('the example has a variant');
    const second = { ...first, name: 'u4-paper', artifactId: u4.id, ...change };
    return { ...base, status: { ...base.status, variants: [first, second] } };
  }

  function spec(change: object = {}) {
    return rolloutSpecSchema.parse({ selector: {}, model: 'stories', ...change });
  }

  function variants(acceptance: ReturnType<typeof judgeVariants>) {
    return acceptance.kind === 'Accepted' ? acceptance.candidates.map((c) => c.variant) : [];
  }

  const beyond = { quality: { ...quality(), perplexityRatio: 218, withinBound: false } };
  function quality() {
    const { tensors, ...summary } = u8.quality;
    return summary;
  }

  it('takes all of the model, those of the spec, or the one', () => {
    const both = model({});
    expect(variants(judgeVariants(spec(), both, artifacts))).toEqual(['u8', 'u4-paper']);
    expect(variants(judgeVariants(spec({ variants: ['u8'] }), both, artifacts))).toEqual(['u8']);
    expect(variants(judgeVariants(spec({ variant: 'u8' }), both, artifacts))).toEqual(['u8']);
  });

  it('waits for every variant to choose from, and leaves the failed out', () => {
    const waiting = judgeVariants(spec(), model({ phase: 'Compressing' }), artifacts);
    expect(waiting).toMatchObject({ kind: 'Waiting', reason: 'VariantNotReady' });
    const left = judgeVariants(spec(), model({ phase: 'Failed', message: 'NaN' }), artifacts);
    expect(variants(left)).toEqual(['u8']);
    expect(left.message).toContain('u4-paper of model stories could not be compressed: NaN');
  });

  it('refuses when all are beyond the bound, and keeps one as a candidate otherwise', () => {
    const some = judgeVariants(spec(), model(beyond), artifacts);
    expect(some).toMatchObject({ kind: 'Accepted', reason: 'Accepted' });
    expect(variants(some)).toEqual(['u8', 'u4-paper']);
    const only = spec({ variants: ['u4-paper'] });
    expect(judgeVariants(only, model(beyond), artifacts).kind).toBe('Refused');
    const forced = judgeVariants({ ...only, force: true }, model(beyond), artifacts);
    expect(forced).toMatchObject({ kind: 'Accepted', reason: 'Forced' });
  });
});
