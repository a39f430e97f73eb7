import { describe, expect, it } from 'vitest';
import { resumed, retried } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import { planRollout } from '../../apps/controller/src/rollouts/rollout.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { workDigest } from '../../apps/controller/src/rollouts/work.digest.ts';
import type { Report } from '../../libs/protocol/src/index.ts';
import {
  badModel,
  digest,
  exampleArtifact,
  exampleDevice,
  exampleModel,
  exampleReport,
  exampleRollout,
  NOW,
} from '../support/fleet.examples.ts';
import {
  answered,
  carriedOut,
  condition,
  facts,
  progress,
  saved,
  startedIn,
  stateOf,
} from './rollout.scenario.ts';

const FAILED: Partial<Report> = {
  phase: 'Failed',
  error: { reason: 'DiskFull', message: 'no space left on /var/lib' },
};

describe('acceptance', () => {
  it('refuses a variant beyond the bound, with perplexity, bound and the fix', () => {
    const plan = planRollout(facts({ model: badModel() }));
    expect(plan.status.phase).toBe('Refused');
    expect(startedIn(plan)).toEqual([]);
    const message = condition(plan, 'Accepted')?.message;
    for (const part of ['621', '1.15', 'spec.force: true']) expect(message).toContain(part);
  });

  it('rolls it out when it is forced, and says so', () => {
    const plan = planRollout(
      facts({ model: badModel(), rollout: exampleRollout({ force: true }) }),
    );
    expect(startedIn(plan)).toEqual(['a']);
    expect(condition(plan, 'Accepted')).toMatchObject({ status: 'True', reason: 'Forced' });
  });

  it.each([
    ['UnknownModel', facts({ model: undefined }), '"stories" does not exist'],
    [
      'UnknownVariant',
      facts({ rollout: exampleRollout({ variant: 'u5' }) }),
      'no variant "u5"; it has u8, u4-paper',
    ],
    [
      'VariantFailed',
      facts({ model: exampleModel({ phase: 'Failed', message: 'NaN in wte' }) }),
      'NaN in wte',
    ],
    ['VariantNotReady', facts({ model: exampleModel({ phase: 'Compressing' }) }), 'Compressing'],
    ['ArtifactMissing', facts({ artifacts: new Map() }), 'u8'],
    [
      'ArtifactGone',
      facts({ rollout: exampleRollout({ artifactIds: [digest('gone')] }) }),
      'leave spec.artifactIds out',
    ],
  ])('waits with %s', (reason, given, text) => {
    const plan = planRollout(given);
    expect(plan.status.phase).toBe('Pending');
    expect(startedIn(plan)).toEqual([]);
    expect(condition(plan, 'Accepted')).toMatchObject({ reason });
    expect(condition(plan, 'Accepted')?.message).toContain(text);
    expect(condition(plan, 'Accepted')?.status).not.toBe('True');
  });

  it('rolls out the artifacts that the spec names, whatever the model has now', () => {
    const artifacts = new Map([['u8', exampleArtifact({ id: digest('old') })]]);
    const rollout = exampleRollout({ artifactIds: [digest('old')] });
    const model = exampleModel({ phase: 'Compressing', artifactId: null });
    const plan = planRollout(facts({ rollout, artifacts, model }));
    expect(startedIn(plan)).toEqual(['a']);
    expect(plan.status.artifactIds).toEqual([digest('old')]);
    const { quality } = exampleArtifact();
    const worse = exampleArtifact({
      id: digest('old'),
      quality: { ...quality, perplexityRatio: 1.3 },
    });
    const refused = planRollout(facts({ rollout, artifacts: new Map([['u8', worse]]), model }));
    expect(refused.status.phase).toBe('Refused');
    expect(condition(refused, 'Accepted')?.message).toContain('1.300 times');
  });

  it('names the selector that matches nothing, and picks devices up when they appear', () => {
    const none = facts({ devices: [] });
    const plan = planRollout(none);
    expect(plan.status.phase).toBe('Pending');
    expect(condition(plan, 'Progressing')).toMatchObject({ reason: 'NoDevices' });
    expect(condition(plan, 'Progressing')?.message).toContain('site=lab');
    const later = { ...carriedOut(none, plan), devices: [exampleDevice('late')] };
    expect(startedIn(planRollout(later))).toEqual(['late']);
  });
});

describe('waves', () => {
  it('starts one wave, waits for it, then starts the next', () => {
    let now = facts();
    let plan = planRollout(now);
    expect(startedIn(plan)).toEqual(['a']);
    now = carriedOut(now, plan);
    expect(startedIn(planRollout(now))).toEqual([]);
    now = answered(now, 'a', { phase: 'Active' });
    plan = planRollout(now);
    expect(startedIn(plan)).toEqual(['b']);
    now = answered(carriedOut(now, plan), 'b', { phase: 'Active' });
    plan = planRollout(now);
    now = answered(carriedOut(now, plan), 'c', { phase: 'Active' });
    plan = planRollout(now);
    expect(plan.status).toMatchObject({ phase: 'Complete', totalWaves: 3, currentWave: 2 });
    expect(plan.status.counts).toMatchObject({ selected: 3, active: 3 });
  });

  it('ignores a report about an older revision', () => {
    let now = facts();
    now = carriedOut(now, planRollout(now));
    now = answered(now, 'a', { phase: 'Active', observedRevision: 0 });
    const plan = planRollout(now);
    expect(stateOf(plan, 'a')).toBe('Updating');
    expect(startedIn(plan)).toEqual([]);
  });

  it('passes by an offline device and starts it when it is back', () => {
    const off = exampleDevice('a', { online: false });
    let now = facts({ devices: [off, exampleDevice('b')] });
    let plan = planRollout(now);
    expect(startedIn(plan)).toEqual(['b']);
    now = answered(carriedOut(now, plan), 'b', { phase: 'Active' });
    plan = planRollout(now);
    expect(plan.status.phase).toBe('Complete');
    now = answered(carriedOut(now, plan), 'a', {}, { online: true });
    plan = planRollout(now);
    expect(plan.status.phase).toBe('Progressing');
    expect(startedIn(plan)).toEqual(['a']);
  });

  it('does not wait for a device that goes offline half-way', () => {
    let now = facts();
    now = carriedOut(now, planRollout(now));
    now = answered(now, 'a', { phase: 'Downloading' }, { online: false });
    const plan = planRollout(now);
    expect(stateOf(plan, 'a')).toBe('Offline');
    expect(startedIn(plan)).toEqual(['b']);
  });

  it('starts over at the first wave on a new spec, with what runs it already active at once', () => {
    let now = facts();
    for (const device of ['a', 'b', 'c']) {
      now = answered(carriedOut(now, planRollout(now)), device, { phase: 'Active' });
    }
    const metadata = { ...now.rollout.metadata, generation: 2 };
    const changed = { ...now, rollout: { ...now.rollout, metadata }, specDigest: 'two' };
    const plan = planRollout(changed);
    expect(plan.status).toMatchObject({ phase: 'Complete', revision: 2 });
    expect(startedIn(plan)).toEqual([]);
    const other = exampleArtifact({ id: digest('other') });
    const next = planRollout({ ...changed, artifacts: new Map([['u8', other]]) });
    expect(startedIn(next)).toEqual(['a']);
    expect(next.status).toMatchObject({ phase: 'Progressing', currentWave: 0 });
  });
});

describe('workDigest', () => {
  const { spec } = exampleRollout();
  const model = exampleModel();
  const digestOf = (change: object) => workDigest({ ...spec, ...change }, model);

  it('stays when a rollout is paused or forced', () => {
    expect(digestOf({ paused: true, force: true })).toBe(digestOf({}));
  });

  it('changes with the work and with how the model is served', () => {
    expect(digestOf({ samplePrompt: 'Once' })).not.toBe(digestOf({}));
    const longer = { ...model, spec: { ...model.spec, serving: { contextLength: 64 } } };
    expect(workDigest(spec, longer)).not.toBe(digestOf({}));
  });
});

describe('failure', () => {
  function failedCanary(): RolloutFacts {
    const now = facts();
    return answered(carriedOut(now, planRollout(now)), 'a', FAILED);
  }

  it('pauses, naming the device and its error', () => {
    const plan = planRollout(failedCanary());
    expect(plan.status.phase).toBe('Paused');
    expect(startedIn(plan)).toEqual([]);
    expect(condition(plan, 'Progressing')).toMatchObject({
      status: 'False',
      reason: 'MemberFailed',
    });
    const message = condition(plan, 'Progressing')?.message;
    expect(message).toContain('"a" failed: DiskFull: no space left on /var/lib');
    expect(plan.actions).toContainEqual(
      expect.objectContaining({ kind: 'EmitEvent', type: 'Warning', reason: 'MemberFailed' }),
    );
    const words = expect.stringMatching(/^MemberFailed: device "a" failed.* Retry the rollout/);
    const pause = { kind: 'EmitEvent', type: 'Warning', reason: 'Paused', message: words };
    expect(plan.actions).toContainEqual(pause);
    const again = planRollout(carriedOut(failedCanary(), plan));
    expect(again.actions.filter(({ kind }) => kind === 'EmitEvent')).toEqual([]);
  });

  it('stays paused when the failed device goes offline', () => {
    const failed = failedCanary();
    const gone = answered(carriedOut(failed, planRollout(failed)), 'a', FAILED, { online: false });
    expect(planRollout(gone).status.phase).toBe('Paused');
  });

  it('goes on without the failed one on resume', () => {
    const failed = failedCanary();
    let now = carriedOut(failed, planRollout(failed));
    now = saved(now, resumed(progress(now), NOW));
    const plan = planRollout(now);
    expect(startedIn(plan)).toEqual(['b']);
    expect(stateOf(plan, 'a')).toBe('Failed');
    expect(planRollout(carriedOut(now, plan)).status.phase).toBe('Progressing');
  });

  it('starts the failed one again on retry, under a higher attempt, once', () => {
    const failed = failedCanary();
    let now = carriedOut(failed, planRollout(failed));
    now = saved(now, retried(progress(now), NOW));
    const plan = planRollout(now);
    expect(plan.actions).toContainEqual(
      expect.objectContaining({ kind: 'SetDesired', device: 'a', attempt: 1, seenRevision: 1 }),
    );
    const again = planRollout(carriedOut(now, plan));
    expect(startedIn(again)).toEqual([]);
    expect(stateOf(again, 'a')).toBe('Updating');
  });

  it('counts no progress for longer than the deadline as failure, until it is active', () => {
    let now = facts({ rollout: exampleRollout({ strategy: { progressDeadlineSeconds: 60 } }) });
    now = carriedOut(now, planRollout(now));
    const seen = (seconds: number) => new Date(Date.parse(NOW) + seconds * 1000).toISOString();
    now = answered(now, 'a', { phase: 'Downloading' }, { lastSeen: seen(1) });
    now = carriedOut(now, planRollout(now));
    now = answered(now, 'a', { phase: 'Downloading' }, { lastSeen: seen(60) });
    expect(planRollout(now).status.phase).toBe('Progressing');
    now = answered(now, 'a', { phase: 'Downloading' }, { lastSeen: seen(62) });
    const plan = planRollout({ ...now, now: seen(62) });
    expect(condition(plan, 'Progressing')?.message).toContain('progressDeadlineSeconds');
    now = carriedOut(now, plan);
    const still = answered(now, 'a', { phase: 'Verifying' }, { lastSeen: seen(63) });
    expect(planRollout(still).status.phase).toBe('Paused');
    const well = answered(now, 'a', { phase: 'Active' }, { lastSeen: seen(64) });
    expect(startedIn(planRollout(well))).toEqual(['b']);
  });

  it('does not hold silence of the controller or the device against it', () => {
    let now = facts({ rollout: exampleRollout({ strategy: { progressDeadlineSeconds: 60 } }) });
    now = carriedOut(now, planRollout(now));
    const hourLater = '2026-11-21T09:00:00.000Z';
    expect(planRollout({ ...now, now: hourLater }).status.phase).toBe('Progressing');
  });

  it('starts nothing while paused', () => {
    const plan = planRollout(facts({ rollout: exampleRollout({ paused: true }) }));
    expect(plan.status.phase).toBe('Paused');
    expect(startedIn(plan)).toEqual([]);
  });
});

describe('fitness', () => {
  const small = exampleReport('a').capabilities;

  it('never starts a device without the memory for coded weights, and shows the sum', () => {
    const capabilities = { ...small, memoryBytes: 24 * 1024 * 1024 };
    const device = exampleDevice('a', { report: exampleReport('a', { capabilities }) });
    const plan = planRollout(facts({ devices: [device, exampleDevice('b')] }));
    expect(startedIn(plan)).toEqual(['b']);
    const member = plan.members.find((m) => m.device === 'a');
    expect(member).toMatchObject({ state: 'Unfit', reason: 'NotEnoughMemory', wave: null });
    expect(member?.message).toContain('20.0 MiB for weights + 10.0 MiB for the KV cache');
    expect(member?.message).toContain('= 30.0 MiB; the device has 24.0 MiB');
  });

  it('counts the model that runs until the new one is active', () => {
    const capabilities = { ...small, memoryBytes: 60 * 1024 * 1024 };
    const active = { model: 'old', variant: 'u8', artifactId: digest('old') };
    const report = exampleReport('a', { capabilities, active });
    const footprints = new Map([
      [digest('old'), { decodedBytes: 40 * 1024 * 1024, codedBytes: 20 * 1024 * 1024 }],
    ]);
    const plan = planRollout(facts({ devices: [exampleDevice('a', { report })], footprints }));
    expect(plan.members[0]?.message).toContain('+ 40.0 MiB of old until then = 70.0 MiB');
    expect(condition(plan, 'Progressing')).toMatchObject({ reason: 'NoDeviceFits' });
  });

  it('never starts a device without the disk', () => {
    const capabilities = { ...small, diskFreeBytes: 1024 * 1024 };
    const device = exampleDevice('a', { report: exampleReport('a', { capabilities }) });
    const plan = planRollout(facts({ devices: [device] }));
    expect(plan.members[0]).toMatchObject({ state: 'Unfit', reason: 'NotEnoughDisk' });
  });
});

describe('two rollouts that select one device', () => {
  const other = {
    name: 'older',
    creationTimestamp: '2026-11-20T08:00:00.000Z',
    selector: { matchLabels: { site: 'lab' }, matchExpressions: [] },
    isTurnedDown: false,
  };

  it('the older keeps it, the newer says so', () => {
    const plan = planRollout(facts({ others: [other] }));
    expect(startedIn(plan)).toEqual([]);
    expect(plan.members[0]).toMatchObject({ state: 'Conflict' });
    expect(plan.members[0]?.message).toContain('"older"');
  });

  it('the newer has no say, nor has one that was turned down', () => {
    const newer = { ...other, creationTimestamp: '2026-11-22T08:00:00.000Z' };
    const turnedDown = { ...other, isTurnedDown: true };
    expect(startedIn(planRollout(facts({ others: [newer, turnedDown] })))).toEqual(['a']);
  });

  it('of the same age, the name decides', () => {
    const twin = { ...other, creationTimestamp: NOW };
    expect(startedIn(planRollout(facts({ others: [{ ...twin, name: 'zz' }] })))).toEqual(['a']);
    expect(startedIn(planRollout(facts({ others: [{ ...twin, name: 'aa' }] })))).toEqual([]);
  });
});
