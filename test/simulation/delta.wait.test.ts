import { describe, expect, it } from 'vitest';
import {
  DELTA_WAIT_SECONDS_MAX,
  type OpenDelta,
} from '../../apps/controller/src/rollouts/delta.wait.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { NOW } from '../support/fleet.examples.ts';
import { at, look, message, NEW, OLD, reason, startedIn, world } from './rollout.scenario.ts';

const MIB = 1024 * 1024;
const OPEN: OpenDelta = { base: OLD.artifactId, target: NEW.artifactId, since: NOW };

/** Devices that lack 20 MiB each. */
function fleet(linkBytesPerSecond: (number | null)[], change: Partial<RolloutFacts> = {}) {
  const before = world({ waves: [{ percent: 100 }] });
  const devices = before.devices.map((device, index) => {
    const { report } = device.status;
    if (report === null) throw new Error('the device has said nothing');
    const link = linkBytesPerSecond[index] ?? null;
    const capabilities = { ...report.capabilities, linkBytesPerSecond: link };
    return { ...device, status: { ...device.status, report: { ...report, capabilities } } };
  });
  const predict = () => ({ bytesToFetch: 20 * MIB, seconds: null, explanation: '' });
  return { ...before, devices, predict, openDeltas: [OPEN], ...change };
}

describe('a delta that is being made', () => {
  it('is waited for half as long as fetching without it takes, with the sum', () => {
    const slow = fleet([MIB, MIB, MIB / 2]);
    const { plan } = look(slow);
    expect(startedIn(plan)).toEqual([]);
    expect(plan.status.phase).toBe('Progressing');
    expect(reason(plan)).toBe('AwaitingDelta');
    expect(message(plan)).toContain('stories u8, which 3 devices run');
    expect(message(plan)).toContain('20.0 MiB / 1.0 MiB/s = 20 s, so that 10 s are waited');
    expect(message(plan)).toContain(at(10));
    expect(plan.wakeAt).toBe(at(5));
    expect(look(slow, 9).plan.wakeAt).toBe(at(10));
    expect(startedIn(look(slow, 10).plan)).toEqual(['a', 'b', 'c']);
  });

  it('is not waited for when it is there, given up, or for others', () => {
    const links = [MIB, MIB, MIB];
    expect(startedIn(look(fleet(links, { openDeltas: [] })).plan)).toHaveLength(3);
    const other = [{ ...OPEN, base: NEW.artifactId }];
    expect(startedIn(look(fleet(links, { openDeltas: other })).plan)).toHaveLength(3);
  });

  it('is not waited for without a link speed: what is not measured is not made up', () => {
    expect(startedIn(look(fleet([null, null, null])).plan)).toHaveLength(3);
  });

  it('is not waited for longer than the most, however slow the link', () => {
    const crawling = fleet([10, 10, 10]);
    expect(reason(look(crawling, DELTA_WAIT_SECONDS_MAX - 1).plan)).toBe('AwaitingDelta');
    expect(startedIn(look(crawling, DELTA_WAIT_SECONDS_MAX).plan)).toHaveLength(3);
  });
});
