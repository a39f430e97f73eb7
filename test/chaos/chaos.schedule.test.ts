import { describe, expect, it } from 'vitest';
import { chaosSchedule, FAULT_KINDS, type ScheduleOptions, WORK_KINDS } from './chaos.schedule.ts';

const options: ScheduleOptions = {
  seed: 1,
  seconds: 600,
  agents: ['edge-1', 'edge-2', 'edge-3'],
  models: ['alpha', 'beta', 'gamma'],
  disks: true,
  database: true,
  gapMs: 1500,
};

describe('the schedule of a chaos run', () => {
  it('is the same for the same seed and another for another', () => {
    expect(chaosSchedule(options)).toEqual(chaosSchedule({ ...options }));
    expect(chaosSchedule(options)).not.toEqual(chaosSchedule({ ...options, seed: 2 }));
  });

  it('has every kind in ten minutes, in the order of time, within the time', () => {
    const steps = chaosSchedule(options);
    expect(new Set(steps.map((step) => step.kind))).toEqual(
      new Set([...FAULT_KINDS, ...WORK_KINDS]),
    );
    const times = steps.map((step) => step.atMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(Math.max(...steps.map((s) => s.atMs + s.durationMs))).toBeLessThanOrEqual(600_000);
  });

  it.each([1, 2, 3, 4, 5])('gives nothing two faults at once (seed %i)', (seed) => {
    const busyUntilMs = new Map<string, number>();
    const works: readonly string[] = WORK_KINDS;
    const faults = chaosSchedule({ ...options, seed }).filter((s) => !works.includes(s.kind));
    expect(faults.length).toBeGreaterThan(200);
    for (const { target, atMs, durationMs } of faults) {
      expect(atMs).toBeGreaterThanOrEqual(busyUntilMs.get(target) ?? 0);
      busyUntilMs.set(target, atMs + durationMs);
    }
  });

  it('leaves out what this machine has not', () => {
    const steps = chaosSchedule({ ...options, disks: false, database: false });
    expect(steps.filter((s) => /disk|database/i.test(`${s.kind} ${s.target}`))).toEqual([]);
  });

  it('never changes to the model that is rolled out already', () => {
    const changes = chaosSchedule(options).filter((step) => step.kind === 'ChangeModel');
    for (const [index, { target }] of changes.entries()) {
      expect(target).not.toBe(changes[index - 1]?.target ?? 'alpha');
    }
  });
});
