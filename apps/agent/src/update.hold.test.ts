import type { Phase } from '@entrofleet/protocol';
import { describe, expect, it } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { INITIAL_SITUATION, type Situation } from './update.states.ts';
import { resume, transition } from './update.table.ts';

const A = targetOf(referenceOf('a'), { model: 'old' });
const B = targetOf(referenceOf('b'), { model: 'new' });
const C = targetOf(referenceOf('c'), { model: 'newer' });
const FAILURE = { reason: 'DiskFull', message: 'full' };

/** On the way from A to B, or resting on one of them. */
function inState(state: Phase, more: Partial<Situation> = {}): Situation {
  const active = state === 'Active' ? B : A;
  const previous = state === 'Active' ? A : null;
  const desired = desiredOf(B, { revision: 5 });
  return { ...INITIAL_SITUATION, state, desired, active, previous, ...more };
}

describe('a hold', () => {
  const receive = (situation: Situation, more: Partial<ReturnType<typeof desiredOf>>) =>
    transition(situation, {
      kind: 'DesiredReceived',
      desired: desiredOf(B, { revision: 6, ...more }),
    });

  it('of the download stops it where it is, and lets it go on', () => {
    const running = inState('Downloading', { crashes: 1, repairs: 1 });
    const held = receive(running, { hold: 'Download' });
    expect(held.situation).toMatchObject({ state: 'Downloading', crashes: 1, repairs: 1 });
    expect(held.effects.map((e) => e.kind)).toEqual(['CancelStep', 'DropCandidate', 'Publish']);
    expect(resume(held.situation, { clean: true }).situation.state).toBe('Downloading');
    const free = receive(held.situation, { revision: 7 });
    expect(free.effects.at(-1)).toMatchObject({ kind: 'Download', loadAhead: true });
    expect(free.situation).toMatchObject({ crashes: 1, repairs: 1 });
  });

  it('of the activation lets it fetch and verify, without loading ahead, then wait', () => {
    const held = receive(inState('Idle'), { hold: 'Activation' });
    expect(held.effects.at(-1)).toMatchObject({ kind: 'Download', loadAhead: false });
    const verified = transition({ ...held.situation, state: 'Verifying' }, { kind: 'Verified' });
    expect(verified.situation.state).toBe('Staged');
    const free = receive(verified.situation, { revision: 7, hold: 'None' });
    expect(free.situation.state).toBe('Decoding');
    expect(free.effects).toMatchObject([{ kind: 'Load' }]);
  });

  it('of either kind keeps a complete download from being activated', () => {
    for (const hold of ['Download', 'Activation'] as const) {
      const held = receive(inState('Verifying'), { hold });
      const { situation } = transition(held.situation, { kind: 'Verified' });
      expect(situation.state).toBe('Staged');
      expect(receive(situation, { revision: 7, hold: 'Download' }).situation.state).toBe('Staged');
    }
  });

  it('that comes too late lets a device go on that is past it', () => {
    for (const state of ['Decoding', 'Testing', 'Activating', 'Active'] as const) {
      expect(receive(inState(state), { hold: 'Activation' }).situation.state).toBe(state);
    }
  });

  it('does not try again what has failed; a higher attempt or another target does', () => {
    const before = inState('Failed', { failure: FAILURE, crashes: 3 });
    const { situation } = receive(before, { hold: 'Activation' });
    expect(situation).toMatchObject({ state: 'Failed', failure: FAILURE, crashes: 3 });
    expect(situation.desired?.revision).toBe(6);
    for (const more of [{ attempt: 1 }, { rollout: 'another' }]) {
      expect(receive(before, more).situation).toMatchObject({ state: 'Downloading', crashes: 0 });
    }
    const longer = { ...B, contextLength: B.contextLength + 1 };
    const other = desiredOf(longer, { revision: 6 });
    const changed = transition(before, { kind: 'DesiredReceived', desired: other });
    expect(changed.situation.state).toBe('Downloading');
    const deltas = [{ baseArtifactId: A.artifact.id, file: referenceOf('d') }];
    const easier = desiredOf({ ...B, deltas }, { revision: 6 });
    const offered = transition(before, { kind: 'DesiredReceived', desired: easier });
    expect(offered.situation.state).toBe('Failed');
  });
});

describe('an update that is replaced while it is activated', () => {
  const finish = desiredOf(C, { revision: 6, onAbandon: 'Finish' });

  it.each(['Decoding', 'Testing', 'Activating'] as const)(
    'in %s is finished first when the new one asks for it, then the new one is taken',
    (state) => {
      const waiting = transition(inState(state), { kind: 'DesiredReceived', desired: finish });
      expect(waiting.situation).toMatchObject({ state, next: finish });
      expect(waiting.situation.desired?.target).toBe(B);
      const active = transition(
        { ...waiting.situation, state: 'Activating' },
        { kind: 'Switched' },
      );
      expect(active.situation).toMatchObject({ state: 'Downloading', active: B, previous: A });
      const failed = transition(waiting.situation, { kind: 'StepFailed', failure: FAILURE });
      expect(failed.situation).toMatchObject({ state: 'Downloading', active: A, failure: null });
      for (const { situation } of [active, failed]) {
        expect(situation).toMatchObject({ desired: finish, next: null });
      }
    },
  );

  it('is dropped at once without a word, or for an even newer one that does not ask for it', () => {
    const waiting = transition(inState('Testing'), { kind: 'DesiredReceived', desired: finish });
    const newest = desiredOf(A, { revision: 7 });
    const { situation } = transition(waiting.situation, {
      kind: 'DesiredReceived',
      desired: newest,
    });
    expect(situation).toMatchObject({ state: 'Active', active: A, desired: newest, next: null });
  });
});

describe('a new model that serves', () => {
  it('is on trial until it has passed, over updates that fail', () => {
    let { situation } = transition(inState('Activating'), { kind: 'Switched' });
    expect(situation.trial).toEqual({ crashes: 0 });
    const desired = desiredOf(C, { revision: 9 });
    situation = transition(situation, { kind: 'DesiredReceived', desired }).situation;
    situation = transition(situation, { kind: 'StepFailed', failure: FAILURE }).situation;
    expect(situation).toMatchObject({ active: B, trial: { crashes: 0 } });
    expect(transition(situation, { kind: 'TrialPassed' }).situation.trial).toBeNull();
  });

  it('and fails again and again is given up for the one before it, while it is on trial', () => {
    const serving = inState('Active', { trial: { crashes: 0 } });
    const { situation, effects } = transition(serving, { kind: 'ServingFailed', failure: FAILURE });
    expect(effects).toEqual([{ kind: 'Restore', target: A }]);
    expect(situation).toMatchObject({
      ...{ state: 'Failed', failure: FAILURE, active: A, restoring: true, trial: null },
      rolledBack: { ...FAILURE, from: B },
    });
    const trusted = inState('Active');
    expect(transition(trusted, { kind: 'ServingFailed', failure: FAILURE }).situation).toBe(
      trusted,
    );
    const desired = desiredOf(C, { revision: 9 });
    const after = transition(situation, { kind: 'DesiredReceived', desired });
    expect(after.situation.rolledBack).toBeNull();
  });
});
