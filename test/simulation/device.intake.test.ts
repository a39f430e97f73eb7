import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeIntake } from '../../apps/controller/src/devices/device.intake.ts';
import { gistOf, isOutdated, saysTheSame } from '../../apps/controller/src/devices/report.gist.ts';
import type { DeviceStatus, Report } from '../../libs/protocol/src/index.ts';
import { digest, exampleDevice, exampleReport, NOW } from '../support/fleet.examples.ts';

const measurement: NonNullable<Report['measurement']> = {
  kind: 'Activation',
  measuredAt: NOW,
  artifactId: digest('artifact'),
  threads: 4,
  prefillTokensPerSecond: 100,
  decodeTokensPerSecond: 20,
  entropyDecodeGigabytesPerSecond: null,
  loadSeconds: 1,
  peakRssBytes: 1e9,
  temperatureCelsius: 50,
  fingerprintDeviation: 0.1,
};
const stored = exampleReport('a', { measurement });
const same = (change: Partial<Report>) =>
  saysTheSame(gistOf(stored), gistOf({ ...stored, ...change }));

describe('the gist of a report', () => {
  it.each<[string, Partial<Report>]>([
    ['time', { at: '2026-11-21T08:01:00.000Z', sequence: 9 }],
    ['memory', { capabilities: { ...stored.capabilities, memoryAvailableBytes: 5 } }],
    ['a reading', { measurement: { ...measurement, decodeTokensPerSecond: 21 } }],
    ['order of labels', { labels: Object.fromEntries(Object.entries(stored.labels).reverse()) }],
  ])('is the same whatever the %s', (_, change) => {
    expect(same(change)).toBe(true);
  });

  it.each<[string, Partial<Report>]>([
    ['phase', { phase: 'Downloading' }],
    ['start', { boot: 2 }],
    ['label', { labels: { site: 'moon' } }],
    ['much slower', { measurement: { ...measurement, decodeTokensPerSecond: 15 } }],
    ['missing reading', { measurement: { ...measurement, temperatureCelsius: null } }],
    ['new measurement', { measurement: { ...measurement, kind: 'Periodic' } }],
    ['no measurement', { measurement: null }],
    ['full disk', { capabilities: { ...stored.capabilities, diskFreeBytes: 0 } }],
  ])('differs with a %s', (_, change) => {
    expect(same(change)).toBe(false);
  });

  it('is outdated after five minutes on a clock of whatever day', () => {
    const later = (at: string) => isOutdated(gistOf(stored), gistOf({ ...stored, at }));
    expect(later('2026-11-21T08:04:59.000Z')).toBe(false);
    expect(later('2026-11-21T08:05:00.000Z')).toBe(true);
    expect(later('1970-01-01T00:00:00.000Z')).toBe(true);
  });
});

describe('judgeIntake', () => {
  const record = (status: Partial<DeviceStatus> = {}, sequence = 1) => ({
    device: exampleDevice('a', { report: stored, ...status }),
    heardUpTo: { boot: 1, sequence },
  });
  const hear = (report: Report | undefined, known: ReturnType<typeof record> | undefined) =>
    judgeIntake(known, { name: 'a', now: NOW, reports: 1, ...(report && { report }) });

  it('takes a report without news for a sign of life', () => {
    const beat = { name: 'a', boot: 1, sequence: 2, reports: 1 };
    expect(hear({ ...stored, sequence: 2 }, record())).toMatchObject({ kind: 'Beat', beat });
  });

  it('ignores what is older than the last sign of life', () => {
    const old = { ...stored, sequence: 3, phase: 'Failed' as const };
    expect(hear(old, record({}, 3))).toMatchObject({ kind: 'Nothing' });
  });

  it('writes news, of a device that was offline in any case', () => {
    expect(hear({ ...stored, sequence: 2 }, record({ online: false }))).toMatchObject({
      kind: 'Write',
      isNews: true,
      news: { status: { online: true } },
    });
    const at = '2026-11-21T09:00:00.000Z';
    expect(hear({ ...stored, sequence: 2, at }, record())).toMatchObject({
      kind: 'Write',
      isNews: false,
    });
  });

  it('registers a device by its report, not by its presence', () => {
    expect(hear(stored, undefined)).toMatchObject({
      kind: 'Register',
      news: { name: 'a', boot: 1, sequence: 1, reports: 1, labels: { site: 'lab' } },
    });
    const presence = { schemaVersion: 1 as const, device: 'a', online: true, boot: 1 };
    const heard = { name: 'a', now: NOW, reports: 0, presence };
    expect(judgeIntake(undefined, heard)).toMatchObject({ kind: 'Nothing' });
  });

  it('stores the newest of all reports, whatever the order they come in', () => {
    const phases = ['Idle', 'Downloading', 'Active'] as const;
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 20 }), { minLength: 1 }), (sequences) => {
        let known: ReturnType<typeof record> | undefined;
        for (const sequence of sequences.map((n) => n + 1)) {
          const phase = phases[sequence % 3] ?? 'Idle';
          const intake = hear(exampleReport('a', { sequence, phase }), known);
          if (intake.kind === 'Beat') known = known && { ...known, heardUpTo: intake.beat };
          if (intake.kind !== 'Write' && intake.kind !== 'Register') continue;
          known = { device: exampleDevice('a', intake.news.status), heardUpTo: intake.news };
        }
        const newest = Math.max(...sequences) + 1;
        expect(known?.heardUpTo.sequence).toBe(newest);
        expect(known?.device.status.report?.phase).toBe(phases[newest % 3]);
      }),
    );
  });
});
