import { describe, expect, it } from 'vitest';
import { resumed, retried } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import type { Report } from '../../libs/protocol/src/index.ts';
import { NOW } from '../support/fleet.examples.ts';
import {
  at,
  FAILED,
  look,
  member,
  message,
  NEW,
  OLD,
  progress,
  reason,
  runs,
  saved,
  says,
  startedIn,
  told,
  world,
} from './rollout.scenario.ts';

describe('gates', () => {
  const gate = { name: 'speed', metric: 'decodeTokensPerSecond', min: 0.9 };

  function measured(tokens: number | null, before: number): Partial<Report> {
    const figures = {
      ...{ kind: 'Activation' as const, measuredAt: NOW, threads: 4, loadSeconds: 1 },
      ...{ prefillTokensPerSecond: null, entropyDecodeGigabytesPerSecond: null },
      ...{ peakRssBytes: null, temperatureCelsius: null, fingerprintDeviation: null },
    };
    return {
      measurement: { ...figures, artifactId: NEW.artifactId, decodeTokensPerSecond: tokens },
      baseline: { ...figures, artifactId: OLD.artifactId, decodeTokensPerSecond: before },
    };
  }

  /** Every other device is of another hardware class. */
  function classed(before: RolloutFacts): RolloutFacts {
    const devices = before.devices.map((each, i) => {
      const hardware = { 'entrofleet.io/hardware-class': i % 2 === 0 ? 'orin' : 'nano' };
      const labels = { ...each.metadata.labels, ...hardware };
      return { ...each, metadata: { ...each.metadata, labels } };
    });
    return { ...before, devices };
  }

  it('hold the next wave on a slower model, with the numbers, until somebody resumes', () => {
    const first = look(world({ gates: [gate] }));
    const slow = look(runs(first.now, 'a', 5, measured(7, 10)), 5);
    expect(startedIn(slow.plan)).toEqual([]);
    expect(slow.plan.status.phase).toBe('Paused');
    expect(reason(slow.plan)).toBe('GateFailed');
    expect(message(slow.plan)).toMatch(/gate speed: .*0\.7.*min 0\.9/);
    expect(slow.plan.status.gates).toMatchObject([{ gate: 'speed', outcome: 'Failed' }]);
    const resumedNow = saved(slow.now, resumed(progress(slow.now), at(6)));
    expect(startedIn(look(resumedNow, 6).plan)).toEqual(['b']);
  });

  it('let a good one pass', () => {
    const first = look(world({ gates: [gate] }));
    expect(startedIn(look(runs(first.now, 'a', 5, measured(9.5, 10)), 5).plan)).toEqual(['b']);
  });

  it('wait for evidence, then pause: silence is neither success nor failure', () => {
    const first = look(world({ gates: [{ ...gate, inconclusiveAfterSeconds: 60 }] }));
    const silent = runs(first.now, 'a', 5, measured(null, 10));
    const waiting = look(silent, 5);
    expect(waiting.plan.status.phase).toBe('Progressing');
    expect(reason(waiting.plan)).toBe('AwaitingEvidence');
    expect(waiting.plan.wakeAt).toBe(new Date(Date.parse(NOW) + 65_001).toISOString());
    const { plan } = look(waiting.now, 66);
    expect(plan.status.phase).toBe('Paused');
    expect(reason(plan)).toBe('GateInconclusive');
  });

  it('are not overridden by resuming what somebody paused', () => {
    const first = look(world({ gates: [gate] }));
    const waiting = look(runs(first.now, 'a', 5, measured(null, 10)), 5);
    const resumedNow = saved(waiting.now, resumed(progress(waiting.now), at(6)));
    expect(startedIn(look(resumedNow, 6).plan)).toEqual([]);
  });

  it('hold one hardware class while another goes on', () => {
    const strategy = { waves: [{ count: 2 }, { percent: 100 }], gates: [gate] };
    const before = world({ ...strategy, onGateFailure: 'HoldClass' }, ['a', 'b', 'c', 'd']);
    let { now } = look(classed(before));
    now = runs(runs(now, 'a', 5, measured(7, 10)), 'b', 5, measured(10, 10));
    const next = look(now, 5);
    expect(startedIn(next.plan)).toEqual(['d']);
    const done = look(runs(next.now, 'd', 9, measured(10, 10)), 9);
    expect(done.plan.status.phase).toBe('Paused');
    expect(reason(done.plan)).toBe('GateFailed');
    expect(message(done.plan)).toContain('orin');
  });

  it('roll one hardware class back while another goes on', () => {
    const waves = [{ count: 2 }, { percent: 100 }];
    const how = { onGateFailure: 'HoldClass', onFailure: 'RollBack', maxUnavailable: 1 };
    const names = ['a', 'b', 'c', 'd', 'e'];
    let { now } = look(classed(world({ waves, gates: [gate], ...how }, names)));
    now = look(runs(now, 'a', 5, measured(7, 10)), 5).now;
    now = runs(look(says(now, 'b', { phase: 'Staged' }, 6), 6).now, 'b', 7, measured(10, 10));
    const failed = look(now, 8);
    expect(told(failed.plan, 'a')).toMatchObject({ target: { artifact: { id: OLD.artifactId } } });
    expect(member(failed.plan, 'a')).toMatchObject({ state: 'Updating', reason: 'RollingBack' });
    expect(failed.plan.status.abandoned).toBeNull();
    const back = look(says(failed.now, 'a', { phase: 'Active', active: OLD }, 9), 9);
    expect(member(back.plan, 'a')?.state).toBe('RolledBack');
    expect(startedIn(back.plan)).toEqual(['d']);
    now = look(says(back.now, 'd', { phase: 'Staged' }, 10), 10).now;
    const done = look(runs(now, 'd', 11, measured(10, 10)), 11);
    expect(done.plan.status).toMatchObject({
      phase: 'Paused',
      counts: { active: 2, rolledBack: 1 },
    });
    expect(reason(done.plan)).toBe('GateFailed');
    expect(message(done.plan)).toContain("class's devices go back");
    expect(startedIn(done.plan)).toEqual([]);
    const again = look(saved(done.now, retried(progress(done.now), at(12))), 12);
    expect(told(again.plan, 'a')).toMatchObject({ target: { artifact: { id: NEW.artifactId } } });
  });

  it('roll a class back only as far as maxUnavailable allows, and not while paused', () => {
    const how = { onGateFailure: 'HoldClass', onFailure: 'RollBack' };
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    let { now } = look(classed(world({ waves: [{ percent: 100 }], gates: [gate], ...how }, names)));
    for (const name of names) now = runs(now, name, 5, measured(name < 'd' ? 7 : 10, 10));
    const { rollout } = now;
    const limited = { ...rollout.spec.strategy, maxUnavailable: 1 };
    const specOf = (paused: boolean) => ({ ...rollout.spec, paused, strategy: limited });
    const paused = look({ ...now, rollout: { ...rollout, spec: specOf(true) } }, 6);
    expect(startedIn(paused.plan)).toEqual([]);
    const first = look({ ...now, rollout: { ...rollout, spec: specOf(false) } }, 6);
    expect(startedIn(first.plan)).toEqual(['a']);
    expect(member(first.plan, 'c')?.reason).toBe('WaitsToGoBack');
    const second = look(says(first.now, 'a', { phase: 'Active', active: OLD }, 7), 7);
    expect(startedIn(second.plan)).toEqual(['c']);
  });

  it('do not take a wave without a single active device for a pass', () => {
    const before = world({ gates: [gate], errorThreshold: { percent: 50, minimumSample: 5 } });
    const failed = look(says(look(before).now, 'a', FAILED));
    expect(startedIn(failed.plan)).toEqual([]);
    expect(reason(failed.plan)).toBe('GateInconclusive');
    const left = look(saved(failed.now, resumed(progress(failed.now), NOW)));
    expect(startedIn(left.plan)).toEqual(['b']);
    expect(member(left.plan, 'b')?.wave).toBe(0);
  });
});
