import { describe, expect, it } from 'vitest';
import { approved, resumed } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { exampleDevice, exampleReport, NOW } from '../support/fleet.examples.ts';
import {
  answered,
  at,
  condition,
  FAILED,
  look,
  member,
  message,
  NEW,
  OLD,
  progress,
  reason,
  running,
  runs,
  saved,
  says,
  startedIn,
  stateOf,
  told,
  world,
} from './rollout.scenario.ts';

describe('approval', () => {
  const waves = [{ count: 1 }, { count: 1 }, { percent: 100 }];

  function canaryActive(approval: string): RolloutFacts {
    return runs(look(world({ waves, approval })).now, 'a');
  }

  it('is asked for before every wave but the first', () => {
    const { plan, now } = look(canaryActive('EveryWave'));
    expect(startedIn(plan)).toEqual([]);
    expect(plan.status.phase).toBe('Paused');
    expect(reason(plan)).toBe('AwaitingApproval');
    expect(message(plan)).toContain('wave 2 of 3 waits for approval');
    const second = look(saved(now, approved(progress(now), 1)));
    expect(startedIn(second.plan)).toEqual(['b']);
    const third = look(runs(second.now, 'b'));
    expect(reason(third.plan)).toBe('AwaitingApproval');
    expect(message(third.plan)).toContain('wave 3 of 3');
  });

  it('is asked for once after the first wave', () => {
    const { now } = look(canaryActive('FirstWave'));
    const second = look(saved(now, approved(progress(now), 1)));
    expect(startedIn(look(runs(second.now, 'b')).plan)).toEqual(['c']);
  });

  it('is not asked for devices that run the model already', () => {
    let now = world({ waves, approval: 'EveryWave' });
    now = { ...now, devices: now.devices.map((each) => running(each.metadata.name)) };
    for (const name of ['a', 'b', 'c']) {
      const desired = told(look(world({})).plan, 'a');
      if (desired?.kind !== 'SetDesired' || desired.target === null) throw new Error('is asked');
      const report = exampleReport(name, {
        ...{ phase: 'Active', active: NEW, target: NEW, observedRevision: 1 },
      });
      const asked = {
        ...{ schemaVersion: 1 as const, device: name, revision: 1, rollout: 'x', attempt: 0 },
        ...{ target: desired.target, issuedAt: NOW },
      };
      now = {
        ...now,
        devices: now.devices.map((each) =>
          each.metadata.name === name ? exampleDevice(name, { report, desired: asked }) : each,
        ),
      };
    }
    expect(look(now).plan.status.phase).toBe('Complete');
  });
});

describe('pace', () => {
  it('starts devices one after the other, and says when the next is', () => {
    const before = world({ waves: [{ percent: 100 }], pace: { devicesPerMinute: 2 } });
    const first = look(before);
    expect(startedIn(first.plan)).toEqual(['a']);
    expect(first.plan.wakeAt).toBe(at(30));
    const quiet = look(runs(first.now, 'a', 10), 10);
    expect(startedIn(quiet.plan)).toEqual([]);
    expect(reason(quiet.plan)).toBe('Pace');
    expect(message(quiet.plan)).toContain(at(30));
    expect(startedIn(look(quiet.now, 30).plan)).toEqual(['b']);
  });
});

describe('windows', () => {
  const window = { cron: '0 9 * * *', durationSeconds: 600 };

  it('start nothing outside of the download window, and wake when it opens', () => {
    const closed = look(world({ windows: { download: [window] } }));
    expect(startedIn(closed.plan)).toEqual([]);
    expect(reason(closed.plan)).toBe('OutsideDownloadWindow');
    expect(closed.plan.wakeAt).toBe(at(3600));
    const open = look(closed.now, 3600);
    expect(startedIn(open.plan)).toEqual(['a']);
    const half = says(open.now, 'a', { phase: 'Downloading' }, 4190);
    const shut = look(half, 4200);
    expect(told(shut.plan, 'a')).toMatchObject({ hold: 'Download', attempt: 0 });
    expect(reason(shut.plan)).toBe('Waves');
    const held = look(says(shut.now, 'a', { phase: 'Downloading' }, 4201), 4201);
    expect(reason(held.plan)).toBe('OutsideDownloadWindow');
    const again = look(held.now, 3600 + 24 * 3600);
    expect(told(again.plan, 'a')).toMatchObject({ hold: 'None', attempt: 0 });
  });

  it('let devices download ahead and activate in the activation window', () => {
    const before = world({ windows: { activation: [window] }, timeouts: { wholeSeconds: 60 } });
    const first = look(before);
    expect(told(first.plan, 'a')).toMatchObject({ hold: 'Activation' });
    const staged = look(says(first.now, 'a', { phase: 'Staged' }, 20), 20);
    expect(reason(staged.plan)).toBe('OutsideActivationWindow');
    expect(member(staged.plan, 'a')).toMatchObject({ state: 'Updating', reason: 'Staged' });
    // It stands for an hour, and neither timeout nor deadline counts it.
    const later = look(says(staged.now, 'a', { phase: 'Staged' }, 3599), 3599);
    expect(stateOf(later.plan, 'a')).toBe('Updating');
    const open = look(later.now, 3600);
    expect(told(open.plan, 'a')).toMatchObject({ hold: 'None' });
    const active = look(runs(open.now, 'a', 3630), 3630);
    expect(stateOf(active.plan, 'a')).toBe('Active');
  });

  it('that make no sense are turned down with what is wrong', () => {
    const { plan } = look(world({ windows: { download: [{ ...window, cron: 'x' }] } }));
    expect(condition(plan, 'Accepted')).toMatchObject({ status: 'False', reason: 'BadWindow' });
  });
});

describe('maxUnavailable', () => {
  const strategy = { waves: [{ percent: 100 }], maxUnavailable: 1 };

  it('lets all download and one at a time activate', () => {
    const first = look(world(strategy));
    expect(startedIn(first.plan)).toEqual(['a', 'b', 'c']);
    let now = first.now;
    for (const name of ['a', 'b', 'c']) now = says(now, name, { phase: 'Staged' });
    const second = look(now);
    expect(startedIn(second.plan)).toEqual(['a']);
    const third = look(second.now);
    expect(startedIn(third.plan)).toEqual([]);
    const next = look(runs(third.now, 'a'));
    expect(told(next.plan, 'b')).toMatchObject({ hold: 'None' });
    expect(told(next.plan, 'c')).toBeUndefined();
  });

  it('counts a failed device until it is left behind', () => {
    const tolerant = { ...strategy, errorThreshold: { percent: 90 } };
    let now = look(world(tolerant)).now;
    now = says(now, 'a', FAILED);
    for (const name of ['b', 'c']) now = says(now, name, { phase: 'Staged' });
    const full = look(now);
    expect(startedIn(full.plan)).toEqual([]);
    expect(reason(full.plan)).toBe('ErrorThreshold');
    const left = look(saved(full.now, resumed(progress(full.now), NOW)));
    expect(told(left.plan, 'b')).toMatchObject({ hold: 'None' });
  });

  it('waits for a device that is silent while it activates, though not for ever', () => {
    let now = look(world({ ...strategy, progressDeadlineSeconds: 60 })).now;
    for (const name of ['a', 'b']) now = says(now, name, { phase: 'Staged' });
    now = look(now).now;
    now = answered(now, 'a', { phase: 'Decoding', active: OLD }, { online: false, lastSeen: NOW });
    const waiting = look(now, 30);
    expect(told(waiting.plan, 'b')).toBeUndefined();
    expect(waiting.plan.wakeAt).toBe(new Date(Date.parse(NOW) + 60_001).toISOString());
    expect(message(look(says(waiting.now, 'c', { phase: 'Staged' }), 31).plan)).toContain(
      '1 of at most 1 devices',
    );
    expect(told(look(waiting.now, 61).plan, 'b')).toMatchObject({ hold: 'None' });
  });
});

describe('retries', () => {
  const retries = { limit: 1, backoffSeconds: 60, jitter: 0 };

  it('start a device again after a pause, so often, and only then it has failed', () => {
    const first = look(world({ retries }));
    const failed = look(says(first.now, 'a', FAILED, 10), 10);
    expect(member(failed.plan, 'a')).toMatchObject({ state: 'Pending', reason: 'BackingOff' });
    expect(failed.plan.status.phase).toBe('Progressing');
    expect(reason(failed.plan)).toBe('BackingOff');
    expect(message(failed.plan)).toContain('DiskFull: no space left');
    expect(failed.plan.wakeAt).toBe(at(70));
    const early = look(failed.now, 69);
    expect(startedIn(early.plan)).toEqual([]);
    const again = look(early.now, 70);
    expect(told(again.plan, 'a')).toMatchObject({ attempt: 1 });
    const twice = look(says(again.now, 'a', FAILED, 80), 80);
    expect(member(twice.plan, 'a')).toMatchObject({ state: 'Failed', attempts: 2 });
    expect(twice.plan.status.phase).toBe('Paused');
  });

  it('count a failure once, however often it is looked at', () => {
    const first = look(world({ retries: { ...retries, limit: 5 } }));
    let now = says(first.now, 'a', FAILED);
    for (let i = 0; i < 5; i++) now = look(now, i).now;
    expect(now.members[0]?.attempts).toBe(1);
  });
});

describe('timeouts', () => {
  it('end an update that takes too long while the device is online', () => {
    const first = look(world({ timeouts: { wholeSeconds: 100 } }));
    const working = (now: RolloutFacts, chunks: number, seconds: number) =>
      says(now, 'a', { phase: 'Downloading', download: download(chunks) }, seconds);
    let { now } = look(working(first.now, 1, 50), 50);
    now = answered(
      now,
      'a',
      { phase: 'Downloading', active: OLD },
      { online: false, lastSeen: at(50) },
    );
    now = look(now, 60).now;
    now = answered(
      now,
      'a',
      { phase: 'Downloading', active: OLD },
      { online: true, lastSeen: at(500) },
    );
    now = look(now, 500).now;
    expect(stateOf(look(working(now, 2, 549), 549).plan, 'a')).toBe('Updating');
    const { plan } = look(working(now, 3, 551), 551);
    expect(member(plan, 'a')).toMatchObject({ state: 'Failed', reason: 'UpdateTimedOut' });
    expect(member(plan, 'a')?.message).toContain('timeouts.wholeSeconds is 100');
  });

  it('of steps are told to the device', () => {
    const { plan } = look(world({ timeouts: { testSeconds: 30 } }));
    expect(told(plan, 'a')).toMatchObject({ timeouts: { testSeconds: 30 } });
  });
});

function download(chunksHeld: number) {
  return {
    ...{ chunksTotal: 80, chunksHeld, bytesTotal: 8000, bytesHeld: chunksHeld * 100 },
    ...{ bytesReceived: 0, bytesDuplicate: 0, chunksCorrupt: 0 },
  };
}

describe('the error threshold', () => {
  it('tolerates failures below it, and before the minimum sample', () => {
    const names = ['a', 'b', 'c', 'd'];
    const errorThreshold = { percent: 40, minimumSample: 2 };
    let now = look(world({ waves: [{ percent: 100 }], errorThreshold }, names)).now;
    now = look(says(now, 'a', FAILED)).now;
    expect(now.rollout.status.phase).toBe('Progressing');
    now = look(runs(runs(now, 'b'), 'c')).now;
    expect(now.rollout.status.phase).toBe('Progressing');
    const { plan } = look(says(now, 'd', FAILED));
    expect(reason(plan)).toBe('ErrorThreshold');
    expect(message(plan)).toContain('2 of 4 devices failed, 50.0 %');
  });
});
