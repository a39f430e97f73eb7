import { describe, expect, it } from 'vitest';
import { aborted, retried } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { strategySchema } from '../../libs/protocol/src/index.ts';
import { digest, exampleArtifact, NOW } from '../support/fleet.examples.ts';
import {
  condition,
  FAILED,
  look,
  member,
  message,
  OLD,
  progress,
  running,
  runs,
  saved,
  says,
  startedIn,
  stateOf,
  told,
  world,
} from './rollout.scenario.ts';

describe('rolling back', () => {
  const strategy = { waves: [{ count: 1 }, { count: 1 }], onFailure: 'RollBack' };

  it('sends every device back to what it ran when one fails too many', () => {
    let now = runs(look(world(strategy)).now, 'a');
    now = says(look(now).now, 'b', FAILED);
    const back = look(now);
    expect(back.plan.status.phase).toBe('RollingBack');
    for (const name of ['a', 'b']) {
      expect(told(back.plan, name)).toMatchObject({ target: { artifact: { id: OLD.artifactId } } });
    }
    now = says(back.now, 'a', { phase: 'Active' });
    now = says(now, 'b', { phase: 'Active' });
    const { plan } = look(now);
    expect(plan.status.phase).toBe('RolledBack');
    expect(message(plan)).toContain('DiskFull');
    expect(['a', 'b', 'c'].map((name) => stateOf(plan, name))).toEqual([
      ...['RolledBack', 'RolledBack', 'Pending'],
    ]);
  });

  it('takes no more than maxUnavailable at once off a model that serves', () => {
    const names = ['a', 'b', 'c', 'd'];
    const first = look(world({ waves: [{ percent: 100 }], maxUnavailable: 3 }, names));
    let { now } = first;
    for (const name of names) now = runs(now, name);
    now = look(now).now;
    const strategyNow = strategySchema.parse({ maxUnavailable: 1, onFailure: 'RollBack' });
    const { rollout } = now;
    now = { ...now, rollout: { ...rollout, spec: { ...rollout.spec, strategy: strategyNow } } };
    const back = look(says(now, 'd', FAILED));
    expect(startedIn(back.plan)).toEqual(['a', 'd']);
    expect(member(back.plan, 'b')?.reason).toBe('WaitsToGoBack');
    const failedIsBack = says(back.now, 'd', { phase: 'Active' });
    expect(startedIn(look(failedIsBack).plan)).toEqual([]);
    expect(startedIn(look(says(failedIsBack, 'a', { phase: 'Active' })).plan)).toEqual(['b']);
  });

  it('says of a device whose model is gone that it cannot', () => {
    let now: RolloutFacts = { ...look(world(strategy)).now, earlierTargets: new Map() };
    now = says(now, 'a', FAILED);
    const { plan } = look(now);
    expect(startedIn(plan)).toEqual([]);
    expect(member(plan, 'a')?.message).toContain('its artifact is gone');
  });
});

describe('abort', () => {
  const names = ['a', 'b', 'c', 'd'];

  function midway(onAbort: 'Finish' | 'RollBack' = 'Finish'): RolloutFacts {
    let { now } = look(world({ waves: [{ count: 3 }], onAbort }, names));
    now = runs(now, 'a');
    now = says(now, 'b', { phase: 'Downloading' });
    now = says(now, 'c', { phase: 'Testing' });
    now = look(now).now;
    return saved(now, aborted(progress(now), { now: NOW, generation: 1 }));
  }

  it('stops what downloads, lets finish what activates, keeps what is active', () => {
    const { plan, now } = look(midway());
    expect(startedIn(plan)).toEqual(['b']);
    expect(told(plan, 'b')).toMatchObject({
      ...{ target: { artifact: { id: OLD.artifactId } }, onAbandon: 'Finish' },
    });
    expect(plan.status.phase).toBe('Aborted');
    expect(condition(plan, 'Progressing')).toMatchObject({ status: 'True', reason: 'Aborting' });
    const { plan: end } = look(says(runs(now, 'c'), 'b', { phase: 'Active' }));
    expect(condition(end, 'Progressing')).toMatchObject({ status: 'False', reason: 'Aborted' });
    const states = names.map((name) => stateOf(end, name));
    expect(states).toEqual(['Active', 'RolledBack', 'Active', 'Pending']);
  });

  it('sends back what activates as well, if it is to', () => {
    expect(startedIn(look(midway('RollBack')).plan)).toEqual(['b', 'c']);
  });

  it('is not undone by resuming, by pausing, or by a new artifact', () => {
    const { now } = look(midway());
    const metadata = { ...now.rollout.metadata, generation: 2 };
    const paused = { ...now, rollout: { ...now.rollout, metadata } };
    const after = look(paused).now;
    const other = exampleArtifact({ id: digest('other') });
    const { plan } = look({ ...after, artifacts: new Map([['u8', other]]), specDigest: 'two' });
    expect(plan.status.phase).toBe('Aborted');
    expect(startedIn(plan)).toEqual([]);
  });

  it('ends with another spec, or with retry', () => {
    const { now } = look(midway());
    const metadata = { ...now.rollout.metadata, generation: 2 };
    const changed = { ...now, rollout: { ...now.rollout, metadata }, specDigest: 'two' };
    expect(look(changed).plan.status).toMatchObject({ abandoned: null, revision: 2 });
    const again = look(saved(now, retried(progress(now), NOW)));
    expect(again.plan.status.abandoned).toBeNull();
    expect(startedIn(again.plan)).toContain('b');
  });

  it('starts no device that joins', () => {
    const { now } = look(midway());
    const { plan } = look({ ...now, devices: [...now.devices, running('late')] });
    expect(startedIn(plan)).toEqual([]);
    expect(member(plan, 'late')).toMatchObject({ state: 'Pending', reason: 'Aborted' });
  });
});
