import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aborted } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { digest, exampleArtifact, NOW } from '../support/fleet.examples.ts';
import { SimulatedFleet, type Step } from './rollout.fleet.ts';
import {
  FAILED,
  look,
  member,
  NEW,
  OLD,
  progress,
  runs,
  saved,
  says,
  startedIn,
  told,
  world,
} from './rollout.scenario.ts';

/** Devices were asked, and the controller died before it had saved who. */
function killedBeforeSaving(before: RolloutFacts): RolloutFacts {
  const { rollout, members } = before;
  return { ...look(before).now, rollout, members };
}

describe('a controller that dies between asking and saving', () => {
  const strategy = { waves: [{ count: 1 }, { count: 1 }], onFailure: 'RollBack' };

  it('still knows what a device ran that is active when it is back', () => {
    const { plan, now } = look(runs(killedBeforeSaving(world(strategy)), 'a'));
    expect(member(plan, 'a')).toMatchObject({ state: 'Active', wave: 0, previous: OLD });
    const back = look(says(now, 'b', FAILED));
    expect(told(back.plan, 'a')).toMatchObject({ target: { artifact: { id: OLD.artifactId } } });
  });

  it('takes what ran then, not what an earlier revision has replaced', () => {
    const { now } = look(runs(look(world(strategy)).now, 'a'));
    const members = now.members.map((each) => ({
      ...each,
      artifactId: OLD.artifactId,
      previous: { ...OLD, artifactId: digest('oldest') },
    }));
    const before = { ...world(strategy), members, specDigest: 'two' };
    const { plan } = look(runs(killedBeforeSaving(before), 'a'));
    expect(member(plan, 'a')?.previous).toEqual(OLD);
  });

  it('keeps it when the device is asked again with another hold', () => {
    const held = { waves: [{ percent: 100 }], maxUnavailable: 1, onFailure: 'RollBack' };
    let now = killedBeforeSaving(world(held, ['a', 'b']));
    now = runs(says(now, 'b', { phase: 'Staged' }), 'a');
    const second = look(now);
    expect(told(second.plan, 'b')).toMatchObject({ hold: 'None', previous: OLD });
    const { plan } = look(runs(second.now, 'b'));
    expect(member(plan, 'b')?.previous).toEqual(OLD);
  });

  it('sends back also what became active before it gives the revision up', () => {
    let now = killedBeforeSaving(runs(look(world(strategy)).now, 'a'));
    now = says(runs(now, 'b'), 'a', FAILED);
    const { plan } = look(now);
    expect(plan.status.abandoned?.how).toBe('RollBack');
    expect(startedIn(plan)).toEqual(['a', 'b']);
    expect(told(plan, 'b')).toMatchObject({ target: { artifact: { id: OLD.artifactId } } });
  });
});

it('a device that an earlier revision has updated is not one that this revision has started', () => {
  const strategy = { waves: [{ count: 1 }], onFailure: 'RollBack' };
  let { now } = look(runs(look(world(strategy, ['a', 'b'])).now, 'a'));
  const later = exampleArtifact({ id: digest('later') });
  now = { ...now, artifacts: new Map([['u8', later]]), specDigest: 'two' };
  const devices = now.devices.map((each) =>
    each.metadata.name === 'a' ? { ...each, status: { ...each.status, online: false } } : each,
  );
  now = look({ ...now, devices }).now;
  now = saved(now, aborted(progress(now), { now: NOW, generation: 1 }));
  const { plan } = look(now);
  expect(member(plan, 'a')).toMatchObject({ wave: null, artifactId: later.id });
});

describe('what a device goes back to', () => {
  it('is not forgotten when its next attempt begins while it serves nothing', () => {
    const strategy = { waves: [{ count: 1 }], retries: { limit: 1, backoffSeconds: 1, jitter: 0 } };
    let { now } = look(world(strategy, ['a']));
    now = look(says(now, 'a', { ...FAILED, active: null })).now;
    const again = look(now, 5);
    expect(startedIn(again.plan)).toEqual(['a']);
    expect(member(again.plan, 'a')?.previous).toEqual(OLD);
  });

  it('is what it is loading again after a start', () => {
    const before = world({ waves: [{ count: 1 }] }, ['a']);
    const { plan } = look(says(before, 'a', { phase: 'Idle', active: null, restoring: OLD }));
    expect(member(plan, 'a')?.previous).toEqual(OLD);
  });

  it('is never the model it goes back from, whatever dies when', () => {
    const device = fc.nat({ max: 5 });
    const on = (kind: 'Deliver' | 'Work' | 'Report' | 'Break') =>
      fc.record({ kind: fc.constant(kind), device });
    const crash = fc.constantFrom('no' as const, 'before-save' as const, 'half-way' as const);
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('Reconcile' as const), crash }) },
      on('Deliver'),
      { weight: 3, arbitrary: on('Work') },
      { weight: 2, arbitrary: on('Report') },
      on('Break'),
      fc.constantFrom<Step>({ kind: 'Retry' }, { kind: 'Resume' }, { kind: 'Abort' }),
    );
    // Long enough to become active before the next look at the rollout.
    const update = fc.nat(15).map((mask): Step[] => Array(7).fill({ kind: 'Round', mask }));
    const steps = fc.oneof(
      { weight: 4, arbitrary: step.map((each) => [each]) },
      { weight: 1, arbitrary: update },
    );
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40 }), (happens) => {
        const waves = [{ count: 1 }, { percent: 50 }];
        const fleet = new SimulatedFleet({ devices: 4, unfit: 0, waves, before: OLD });
        for (const each of happens.flat()) {
          fleet.run(each);
          for (const { wave, previous } of fleet.members) {
            if (wave !== null) expect(previous).toEqual(OLD);
            expect(previous?.artifactId).not.toBe(NEW.artifactId);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
