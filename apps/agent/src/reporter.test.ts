import { type Report, reportSchema } from '@entrofleet/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FakeBus } from '../../../test/fixtures/fake.bus.ts';
import { createLog } from './log.ts';
import { type ReportedState, Reporter, type ReporterOptions } from './reporter.ts';

const STATE: ReportedState = {
  agentVersion: '0.1.0',
  labels: {},
  capabilities: {
    architecture: 'x86_64',
    cpuModel: null,
    cores: 2,
    isa: [],
    memoryBytes: 1,
    memoryAvailableBytes: null,
    diskFreeBytes: null,
    accelerator: null,
  },
  observedRevision: 0,
  observedAttempt: 0,
  phase: 'Idle',
  target: null,
  active: null,
  endpoint: null,
  download: null,
  phaseSeconds: {},
  measurement: null,
  sample: null,
  error: null,
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function reporterOn(bus: FakeBus, read: () => ReportedState, ring?: ReporterOptions['ring']) {
  return new Reporter({
    device: 'edge-1',
    boot: 4,
    bus,
    log: createLog('error', () => undefined),
    read: async () => read(),
    heartbeatMs: 30_000,
    progressMs: 300,
    ...(ring === undefined ? {} : { ring }),
  });
}

const said = (bus: FakeBus) => bus.published.map((m) => reportSchema.parse(JSON.parse(m.payload)));

it('says a change at once, with a growing sequence', async () => {
  const bus = new FakeBus();
  let phase: ReportedState['phase'] = 'Idle';
  const reporter = reporterOn(bus, () => ({ ...STATE, phase }));
  for (phase of ['Downloading', 'Verifying', 'Active'] as const) {
    reporter.changed();
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(said(bus).map((r) => [r.phase, r.boot, r.sequence])).toEqual([
    ['Downloading', 4, 1],
    ['Verifying', 4, 2],
    ['Active', 4, 3],
  ]);
});

it('says progress a few times a second, and nothing new as a heartbeat', async () => {
  const bus = new FakeBus();
  const reporter = reporterOn(bus, () => STATE);
  for (let i = 0; i < 1000; i++) {
    reporter.progressed();
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(bus.published).toHaveLength(3);
  await vi.advanceTimersByTimeAsync(61_000);
  expect(bus.published).toHaveLength(6);
});

it('keeps nothing while offline and says the newest state when it is back', async () => {
  const bus = new FakeBus();
  let phase: ReportedState['phase'] = 'Downloading';
  const reporter = reporterOn(bus, () => ({ ...STATE, phase }));
  bus.connected = false;
  for (let i = 0; i < 50; i++) {
    reporter.changed();
    await vi.advanceTimersByTimeAsync(10);
  }
  phase = 'Active';
  bus.reconnect();
  await vi.advanceTimersByTimeAsync(1);
  expect(said(bus).map((r) => r.phase)).toEqual(['Active']);
});

/** Reports in memory, as the ring on disk keeps them. */
function ringOf(reports: Report[]): ReporterOptions['ring'] {
  return {
    add: async (report) => void reports.push(report),
    oldest: async () => reports[0],
    drop: async () => void reports.shift(),
  };
}

it('keeps news while offline, no heartbeats, and says them in order before the newest', async () => {
  const bus = new FakeBus();
  const kept: Report[] = [];
  let phase: ReportedState['phase'] = 'Idle';
  const reporter = reporterOn(bus, () => ({ ...STATE, phase }), ringOf(kept));
  bus.connected = false;
  for (phase of ['Downloading', 'Verifying', 'Failed'] as const) {
    reporter.changed();
    await vi.advanceTimersByTimeAsync(300_000);
  }
  expect(kept.map((r) => [r.phase, r.sequence])).toEqual([
    ['Downloading', 1],
    ['Verifying', 2],
    ['Failed', 3],
  ]);
  bus.reconnect();
  await vi.advanceTimersByTimeAsync(1);
  expect(kept).toEqual([]);
  expect(said(bus).map((r) => [r.phase, r.sequence])).toEqual([
    ['Downloading', 1],
    ['Verifying', 2],
    ['Failed', 3],
    ['Failed', 4],
  ]);
});

it('keeps what the broker has not acknowledged, and says it again', async () => {
  const bus = new FakeBus();
  const kept: Report[] = [];
  let phase: ReportedState['phase'] = 'Idle';
  const reporter = reporterOn(bus, () => ({ ...STATE, phase }), ringOf(kept));
  const { publishAcknowledged } = FakeBus.prototype;
  bus.publishAcknowledged = async () => false;
  phase = 'Failed';
  reporter.changed();
  await vi.advanceTimersByTimeAsync(1);
  expect(kept.map((r) => r.phase)).toEqual(['Failed']);
  bus.publishAcknowledged = publishAcknowledged;
  await vi.advanceTimersByTimeAsync(30_000);
  expect(kept).toEqual([]);
  expect(said(bus).map((r) => [r.phase, r.sequence])).toEqual([
    ['Failed', 1],
    ['Failed', 2],
  ]);
});

it('says the last state when it stops, then nothing', async () => {
  const bus = new FakeBus();
  const reporter = reporterOn(bus, () => STATE);
  await reporter.stop();
  reporter.changed();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(bus.published).toHaveLength(1);
});
