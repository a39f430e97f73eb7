import { describe, expect, it } from 'vitest';
import { approved, retried } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import { planRollout } from '../../apps/controller/src/rollouts/rollout.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import type { Device } from '../../libs/protocol/src/index.ts';
import {
  digest,
  exampleArtifact,
  exampleModel,
  exampleReport,
  exampleRollout,
  NOW,
} from '../support/fleet.examples.ts';
import {
  answered,
  at,
  carriedOut,
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

describe('a device', () => {
  const asked = { pinned: true, quarantined: false, labels: {} };

  it('that is pinned or quarantined is left as it is, and nobody waits for it', () => {
    const before = world({ waves: [{ percent: 100 }] });
    const [a, b, c] = before.devices as [Device, Device, Device];
    const quarantined = { ...asked, pinned: false, quarantined: true };
    const devices = [{ ...a, spec: asked }, { ...b, spec: quarantined }, c];
    const first = look({ ...before, devices });
    expect(startedIn(first.plan)).toEqual(['c']);
    const { plan } = look(runs(first.now, 'c'));
    expect(plan.status).toMatchObject({ phase: 'Complete', counts: { pinned: 2, active: 1 } });
  });

  it('that is pinned on its way goes back to what it runs', () => {
    const { now } = look(world({}));
    const working = says(now, 'a', { phase: 'Downloading' });
    const devices = working.devices.map((each) =>
      each.metadata.name === 'a' ? { ...each, spec: asked } : each,
    );
    const { plan } = look({ ...working, devices });
    expect(told(plan, 'a')).toMatchObject({ target: { artifact: { id: OLD.artifactId } } });
    expect(startedIn(plan)).toEqual(['a', 'b']);
  });

  it('that keeps failing sits in the penalty box and blocks nobody', () => {
    const before = world({ waves: [{ percent: 100 }] });
    const penalty = { failures: 4, until: at(600) };
    const devices = [running('a', { penalty }), running('b')];
    const first = look({ ...before, devices });
    expect(startedIn(first.plan)).toEqual(['b']);
    const settled = look(runs(first.now, 'b'));
    expect(reason(settled.plan)).toBe('PenaltyBox');
    expect(message(settled.plan)).toContain('has failed 4 times in a row');
    expect(settled.plan.wakeAt).toBe(at(600));
    expect(startedIn(look(settled.now, 600).plan)).toEqual(['a']);
    expect(startedIn(look(saved(settled.now, retried(progress(settled.now), NOW))).plan)).toEqual([
      'a',
    ]);
  });

  it('pays for a failure once, and nothing when it is well again', () => {
    const { now } = look(world({}));
    const failed = planRollout(says(now, 'a', FAILED));
    const penalties = failed.actions.filter((action) => action.kind === 'SetPenalty');
    expect(penalties).toMatchObject([{ device: 'a', penalty: { failures: 1, revision: 1 } }]);
    const counted = carriedOut(says(now, 'a', FAILED), failed);
    expect(planRollout(counted).actions.some((a) => a.kind === 'SetPenalty')).toBe(false);
    const penalty = { failures: 1, until: NOW };
    const well = answered(counted, 'a', { phase: 'Active', active: NEW }, { penalty });
    expect(planRollout(well).actions).toContainEqual({
      ...{ kind: 'SetPenalty', device: 'a', penalty: null },
    });
  });

  it('that joins late goes in a further wave, when the gates let it', () => {
    let { now } = look(
      world({ waves: [{ count: 1 }, { count: 1 }], approval: 'EveryWave' }, ['a']),
    );
    now = look(runs(now, 'a')).now;
    expect(now.rollout.status.phase).toBe('Complete');
    const joined = { ...now, devices: [...now.devices, running('late')] };
    const waiting = look(joined);
    expect(startedIn(waiting.plan)).toEqual([]);
    expect(reason(waiting.plan)).toBe('AwaitingApproval');
    const { plan } = look(saved(waiting.now, approved(progress(waiting.now), 1)));
    expect(startedIn(plan)).toEqual(['late']);
    expect(member(plan, 'late')?.wave).toBe(1);
  });

  it('that leaves the selector leaves the rollout', () => {
    const { now } = look(world({}));
    const { plan } = look({ ...now, devices: now.devices.slice(1) });
    expect(plan.members.map((each) => each.device)).toEqual(['b', 'c']);
    expect(plan.status.counts.selected).toBe(2);
  });

  it('that went back by itself after it was active has failed', () => {
    let now = runs(look(world({})).now, 'a');
    now = look(now).now;
    const rolledBack = { from: NEW, reason: 'CrashLoop', message: 'died 3 times', at: NOW };
    const { plan } = look(says(now, 'a', { phase: 'Failed', rolledBack }));
    expect(stateOf(plan, 'a')).toBe('Failed');
    expect(plan.status.phase).toBe('Paused');
  });
});

describe('waves', () => {
  it('with a selector take only devices that match it', () => {
    const canary = { count: 1, selector: { matchLabels: { ring: 'canary' } } };
    const before = world({ waves: [canary, { percent: 100 }] });
    const devices = before.devices.map((each) => {
      const labels = { ...each.metadata.labels, ring: each.metadata.name === 'c' ? 'canary' : 'x' };
      return { ...each, metadata: { ...each.metadata, labels } };
    });
    const first = look({ ...before, devices });
    expect(startedIn(first.plan)).toEqual(['c']);
    expect(first.plan.status.totalWaves).toBe(2);
    expect(startedIn(look(runs(first.now, 'c')).plan)).toEqual(['a', 'b']);
  });
});

describe('a choice of variants', () => {
  it('gives each device the best that fits it, and keeps to it', () => {
    const small = exampleArtifact({ id: digest('small'), variant: 'u4-paper' });
    const big = exampleArtifact({ memoryBytes: 3e9 });
    const large = { ...big, ref: { ...big.ref, sizeBytes: 2_500_000_000 } };
    const model = exampleModel();
    const [u8] = model.status.variants;
    if (u8 === undefined || u8.quality === null) throw new Error('the example has a variant');
    const u4 = {
      ...u8,
      ...{ name: 'u4-paper', recipe: 'u4-paper', artifactId: small.id },
      quality: { ...u8.quality, perplexityRatio: 1.1 },
    };
    const before = world({ waves: [{ percent: 100 }] }, ['a', 'b']);
    const [a, b] = before.devices as [Device, Device];
    const report = exampleReport('b', { active: OLD });
    const capabilities = { ...report.capabilities, memoryBytes: 1e9 };
    const tight = { ...b, status: { ...b.status, report: { ...report, capabilities } } };
    const now: RolloutFacts = {
      ...before,
      rollout: exampleRollout({ variant: null, strategy: { waves: [{ percent: 100 }] } }),
      model: { ...model, status: { ...model.status, variants: [u8, u4] } },
      artifacts: new Map([
        ['u8', large],
        ['u4-paper', small],
      ]),
      devices: [a, tight],
    };
    const first = look(now);
    expect(member(first.plan, 'a')).toMatchObject({ variant: 'u8', state: 'Updating' });
    expect(member(first.plan, 'b')).toMatchObject({ variant: 'u4-paper', state: 'Updating' });
    expect(first.plan.status).toMatchObject({ artifactId: null, artifactIds: { length: 2 } });
    const second = look(first.now);
    expect(startedIn(second.plan)).toEqual([]);
  });
});
