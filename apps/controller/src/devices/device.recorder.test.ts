import type { Report } from '@entrofleet/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digest, exampleArtifact, exampleReport } from '../../../../test/support/fleet.examples.ts';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { DeviceRecorder } from './device.recorder.ts';
import { DeviceStore } from './device.store.ts';
import { LivenessStore } from './liveness.store.ts';
import { TargetStore } from './target.store.ts';

const log = new Log('error');
const clock = new SystemClock();

describe('DeviceRecorder', () => {
  let database: Database;
  let devices: DeviceStore;
  let liveness: LivenessStore;
  let recorder: DeviceRecorder;

  beforeEach(async () => {
    database = await Database.inMemory(log);
    devices = new DeviceStore(database, clock, new TargetStore(database));
    liveness = new LivenessStore(database, devices, clock);
    recorder = new DeviceRecorder(liveness, clock, log);
  });
  afterEach(() => database.close());

  const hear = (...reports: Report[]) =>
    recorder.store(new Map(reports.map((report) => [report.device, { report, reports: 1 }])));
  const alive = () => database.query.selectFrom('device_liveness').selectAll().execute();
  const heard = async () =>
    (await alive()).map((row) => [Number(row.sequence), Number(row.reports)]);

  it('registers devices, then counts signs of life without writing the device', async () => {
    const first = await hear(exampleReport('a'), exampleReport('b'));
    expect(first.done).toEqual(new Set(['a', 'b']));
    expect(first.changed).toHaveLength(2);
    const { metadata } = await devices.get('a');
    const again = await hear(
      exampleReport('a', { sequence: 2 }),
      exampleReport('b', { sequence: 2 }),
    );
    expect(again).toEqual({ done: new Set(['a', 'b']), changed: [] });
    expect((await devices.get('a')).metadata).toEqual(metadata);
    expect(await heard()).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });

  it('needs no memory of its own, and is not misled by what it remembers', async () => {
    await hear(exampleReport('a'));
    recorder = new DeviceRecorder(liveness, clock, log);
    expect((await hear(exampleReport('a', { sequence: 2 }))).changed).toEqual([]);
    await devices.delete('a');
    const back = await hear(exampleReport('a', { sequence: 3 }));
    expect(back.changed).toHaveLength(1);
    expect((await devices.get('a')).status.report?.sequence).toBe(3);
  });

  it('stores news with what changed, once', async () => {
    await hear(exampleReport('a'));
    const moved = exampleReport('a', { sequence: 2, phase: 'Active', labels: { site: 'moon' } });
    const { changed } = await hear(moved);
    expect(changed.map((device) => device.metadata.labels)).toEqual([
      { site: 'lab' },
      { site: 'moon' },
    ]);
    expect((await hear(moved)).changed).toEqual([]);
    expect(await heard()).toEqual([[2, 2]]);
  });

  it('leaves to the next try what somebody else writes at the same time', async () => {
    await hear(exampleReport('a'));
    const find = liveness.records.bind(liveness);
    liveness.records = async (names) => {
      const records = await find(names);
      await devices.updateSpec('a', { spec: { labels: {}, pinned: true, quarantined: false } });
      liveness.records = find;
      return records;
    };
    const news = exampleReport('a', { sequence: 2, phase: 'Active' });
    expect((await hear(news)).done).toEqual(new Set());
    expect((await hear(news)).done).toEqual(new Set(['a']));
    const { spec, status } = await devices.get('a');
    expect([spec.pinned, status.report?.phase]).toEqual([true, 'Active']);
  });

  it('sets silent devices offline, and online again with the next report', async () => {
    await hear(exampleReport('a'));
    expect(await liveness.setSilentOffline(new Date(0))).toEqual([]);
    const later = new Date(Date.now() + 1000);
    const silent = await liveness.setSilentOffline(later);
    expect(silent.map((device) => device.status.online)).toEqual([false]);
    expect(await liveness.setSilentOffline(later)).toEqual([]);
    expect((await hear(exampleReport('a', { sequence: 2 }))).changed).toHaveLength(2);
    expect((await devices.get('a')).status.online).toBe(true);
  });

  it('tells the latest sign of life as lastSeen', async () => {
    await hear(exampleReport('a'));
    const before = (await devices.get('a')).status.lastSeen ?? '';
    await new Promise((resolve) => setTimeout(resolve, 5));
    await hear(exampleReport('a', { sequence: 2 }));
    const [listed] = (await devices.list()).items;
    expect(Date.parse(listed?.status.lastSeen ?? '')).toBeGreaterThan(Date.parse(before));
  });

  it('asks devices in bulk, above all revisions they have seen, and finds those that lag', async () => {
    await hear(exampleReport('a', { observedRevision: 7 }), exampleReport('b'));
    const { model, variant, ref: artifact, probe, memoryBytes } = exampleArtifact();
    const limits = { contextLength: 8, kvCacheBytes: 0, samplePrompt: null };
    const target = { model, variant, artifact, probe, memoryBytes, ...limits };
    const previous = { model, variant, artifactId: digest('before') };
    const change = (device: string, seenRevision = 0) => {
      return { device, rollout: 'r', attempt: 0, target, seenRevision, previous };
    };
    const words = { schemaVersion: 1, issuedAt: '2026-11-21T08:00:00.000Z' } as const;
    const changes = [change('a'), change('b', 3), change('gone')];
    expect(await devices.setDesired(changes, words)).toEqual(new Map([['a', 8]]));
    const laggards = await devices.laggards(new Date());
    expect(laggards.map((device) => device.status.desired)).toEqual([
      { ...words, device: 'a', revision: 8, rollout: 'r', attempt: 0, target },
    ]);
    expect(laggards[0]?.status.previous).toEqual(previous);
    expect(await devices.laggards(new Date(0))).toEqual([]);
    expect(await database.query.selectFrom('targets').selectAll().execute()).toHaveLength(1);
  });

  it('counts what failing costs devices in bulk, each failure once, and forgives', async () => {
    await hear(exampleReport('a'), exampleReport('b'));
    const penalty = (failures: number, revision: number) => {
      return { failures, revision, until: `2026-11-21T08:0${failures}:00.000Z` };
    };
    const penalties = async () => {
      return (await devices.list()).items.map(({ status }) => status.penalty ?? null);
    };
    await devices.setPenalties([
      { device: 'a', penalty: penalty(1, 5) },
      { device: 'b', penalty: penalty(1, 6) },
      { device: 'gone', penalty: penalty(1, 7) },
    ]);
    await devices.setPenalties([
      { device: 'a', penalty: penalty(2, 5) },
      { device: 'b', penalty: penalty(2, 9) },
    ]);
    expect(await penalties()).toEqual([penalty(1, 5), penalty(2, 9)]);
    const version = (await devices.get('b')).metadata.resourceVersion;
    await devices.setPenalties([{ device: 'a', penalty: null }]);
    await devices.setPenalties([{ device: 'b', penalty: penalty(3, 9) }]);
    expect(await penalties()).toEqual([null, penalty(2, 9)]);
    expect((await devices.get('b')).metadata.resourceVersion).toBe(version);
  });
});
