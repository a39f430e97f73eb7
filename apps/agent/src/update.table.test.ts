import { type Phase, phaseSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { INITIAL_SITUATION, type Situation, type UpdateEvent } from './update.states.ts';
import {
  CRASHES_MAX,
  kept,
  REPAIRS_MAX,
  RESUME,
  resume,
  TABLE,
  transition,
} from './update.table.ts';

const STATES = phaseSchema.options;
const A = targetOf(referenceOf('a'), { model: 'old' });
const B = targetOf(referenceOf('b'), { model: 'new' });
const C = targetOf(referenceOf('c'), { model: 'newer' });
const FAILURE = { reason: 'DiskFull', message: 'full' };

const EVENTS: readonly UpdateEvent[] = [
  { kind: 'DesiredReceived', desired: desiredOf(C, { revision: 9 }) },
  { kind: 'Downloaded' },
  { kind: 'Verified' },
  { kind: 'FoundDamaged', message: '1 chunk' },
  { kind: 'Loaded' },
  { kind: 'Tested' },
  { kind: 'Switched' },
  { kind: 'StepFailed', failure: FAILURE },
  { kind: 'Restored' },
  { kind: 'RestoreFailed', failure: FAILURE },
  { kind: 'ServingFailed', failure: FAILURE },
  { kind: 'TrialPassed' },
];

/** On the way from A to B, or resting on one of them. */
function inState(state: Phase, more: Partial<Situation> = {}): Situation {
  const active = state === 'Active' ? B : A;
  const previous = state === 'Active' ? A : null;
  const desired = desiredOf(B, { revision: 5 });
  return { ...INITIAL_SITUATION, state, desired, active, previous, ...more };
}

const NEXT: Readonly<Record<Phase, Readonly<Partial<Record<UpdateEvent['kind'], Phase>>>>> = {
  Idle: {},
  Downloading: { Downloaded: 'Verifying', StepFailed: 'Failed' },
  Verifying: { Verified: 'Decoding', FoundDamaged: 'Downloading', StepFailed: 'Failed' },
  Staged: {},
  Decoding: { Loaded: 'Testing', StepFailed: 'Failed' },
  Testing: { Tested: 'Activating', StepFailed: 'Failed' },
  Activating: { Switched: 'Active', StepFailed: 'Failed' },
  Active: {},
  Failed: {},
};

const WORK: Readonly<Record<Phase, string>> = {
  Idle: 'Collect',
  Downloading: 'Download',
  Verifying: 'Verify',
  Staged: 'DropCandidate',
  Decoding: 'Load',
  Testing: 'Test',
  Activating: 'Switch',
  Active: 'Collect',
  Failed: 'DropCandidate',
};

describe('every state and event', () => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      const next = event.kind === 'DesiredReceived' ? 'Downloading' : NEXT[state][event.kind];
      it(`${state} x ${event.kind} -> ${next ?? 'ignored'}`, () => {
        const before = inState(state);
        const { situation, effects } = transition(before, event);
        if (next === undefined) {
          expect(situation).toBe(before);
          expect(effects).toEqual([]);
        } else {
          expect(situation.state).toBe(next);
          expect(effects.at(-1)?.kind).toBe(WORK[next]);
        }
      });
    }
  }

  it('has a cell for each', () => {
    for (const state of STATES) {
      expect(Object.keys(TABLE[state]).sort()).toEqual(EVENTS.map((e) => e.kind).sort());
    }
  });
});

describe('a desired state', () => {
  const receive = (situation: Situation, desired: ReturnType<typeof desiredOf>) =>
    transition(situation, { kind: 'DesiredReceived', desired });

  it('of a lower revision, or seen before, is only answered with the state', () => {
    for (const state of STATES) {
      for (const revision of [4, 5]) {
        const before = inState(state);
        const { situation, effects } = receive(before, desiredOf(C, { revision, attempt: 0 }));
        expect(situation).toBe(before);
        expect(effects).toEqual([{ kind: 'Publish' }]);
      }
    }
  });

  it('of the same revision and a higher attempt tries a failed target again', () => {
    const failed = inState('Failed', { failure: FAILURE, crashes: 3 });
    const { situation, effects } = receive(failed, desiredOf(B, { revision: 5, attempt: 1 }));
    expect(situation).toMatchObject({ state: 'Downloading', failure: null, crashes: 0 });
    expect(effects.map((e) => e.kind)).toEqual(['CancelStep', 'DropCandidate', 'Download']);
  });

  it('that asks for what is under way goes on with it', () => {
    const { situation, effects } = receive(inState('Testing'), desiredOf(B, { revision: 6 }));
    expect(situation.state).toBe('Testing');
    expect(situation.desired?.revision).toBe(6);
    expect(effects).toEqual([{ kind: 'Publish' }]);
  });

  it('for the model that serves is Active at once, from any state', () => {
    for (const state of STATES) {
      const renamed = { ...(inState(state).active ?? A), variant: 'renamed' };
      const { situation, effects } = receive(inState(state), desiredOf(renamed, { revision: 6 }));
      expect(situation).toMatchObject({ state: 'Active', active: { variant: 'renamed' } });
      expect(effects[0]).toEqual({ kind: 'CancelStep' });
    }
  });

  it('of no target stops serving and keeps the artifact that served', () => {
    const { situation, effects } = receive(inState('Active'), desiredOf(null, { revision: 6 }));
    expect(situation).toMatchObject({ state: 'Idle', active: null, previous: { model: 'new' } });
    expect(effects.map((e) => e.kind)).toContain('StopServing');
    expect(kept(situation)).toEqual([B.artifact.id]);
  });
});

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

describe('an update', () => {
  it('keeps the old model active until the switch, then keeps it as previous', () => {
    let situation = INITIAL_SITUATION;
    for (const [revision, target] of [A, B, C].entries()) {
      const desired = desiredOf(target, { revision: revision + 1 });
      situation = transition(situation, { kind: 'DesiredReceived', desired }).situation;
      for (const kind of ['Downloaded', 'Verified', 'Loaded', 'Tested'] as const) {
        const active = situation.active;
        situation = transition(situation, { kind }).situation;
        expect(situation.active).toBe(active);
      }
      situation = transition(situation, { kind: 'Switched' }).situation;
    }
    expect(situation).toMatchObject({ state: 'Active', active: C, previous: B });
    expect(kept(situation)).toEqual([C.artifact.id, B.artifact.id]);
  });

  it('mends a damaged artifact a few times, then blames the disk', () => {
    let situation = inState('Verifying');
    for (let repairs = 1; repairs <= REPAIRS_MAX; repairs++) {
      situation = transition(situation, { kind: 'FoundDamaged', message: '1 chunk' }).situation;
      expect(situation).toMatchObject({ state: 'Downloading', repairs });
      situation = transition(situation, { kind: 'Downloaded' }).situation;
    }
    situation = transition(situation, { kind: 'FoundDamaged', message: '1 chunk' }).situation;
    expect(situation).toMatchObject({ state: 'Failed', failure: { reason: 'HashMismatch' } });
  });
});

describe('resume', () => {
  it('restores the active model first, in every state, and then goes on', () => {
    for (const state of STATES) {
      const resumed = resume(inState(state), { clean: true });
      const { active } = inState(state);
      expect(resumed.effects).toEqual([{ kind: 'Restore', target: active }]);
      expect(resumed.situation).toMatchObject({ state: RESUME[state].state, restoring: true });
      const after = transition(resumed.situation, { kind: 'Restored' });
      expect(after.effects.at(-1)?.kind).toBe(WORK[RESUME[state].state]);
    }
  });

  it('goes on at once where no model was active', () => {
    for (const state of STATES.filter((s) => s !== 'Active')) {
      const { situation, effects } = resume(inState(state, { active: null }), { clean: false });
      expect(situation.restoring).toBe(false);
      expect(effects.at(-1)?.kind).toBe(WORK[RESUME[state].state]);
    }
  });

  it('gives a new model up that took the process down too often', () => {
    for (const state of ['Decoding', 'Testing', 'Activating'] as const) {
      let situation = inState(state);
      for (let crash = 1; crash < CRASHES_MAX; crash++) {
        situation = resume(situation, { clean: false }).situation;
        expect(situation).toMatchObject({ state: 'Decoding', crashes: crash });
        situation = transition(situation, { kind: 'Restored' }).situation;
      }
      const given = resume(situation, { clean: false });
      expect(given.situation).toMatchObject({ state: 'Failed', failure: { reason: 'CrashLoop' } });
      expect(given.effects).toEqual([{ kind: 'Restore', target: A }]);
    }
  });

  it('does not load ahead again in an update during which the agent has died', () => {
    for (const clean of [true, false]) {
      let situation = resume(inState('Downloading'), { clean }).situation;
      const { effects } = transition(situation, { kind: 'Restored' });
      expect(effects).toMatchObject([{ kind: 'Download', loadAhead: clean }]);
      situation = transition(situation, EVENTS[0] as UpdateEvent).situation;
      expect(situation.loadAhead).toBe(true);
    }
  });

  it('does not count ends on purpose', () => {
    let situation = inState('Testing');
    for (let i = 0; i < 2 * CRASHES_MAX; i++)
      situation = resume(situation, { clean: true }).situation;
    expect(situation).toMatchObject({ state: 'Decoding', crashes: 0 });
  });

  it('falls back to the previous model when the active one cannot be loaded, and mends it', () => {
    const resumed = resume(inState('Active'), { clean: false });
    const fallen = transition(resumed.situation, { kind: 'RestoreFailed', failure: FAILURE });
    expect(fallen.situation).toMatchObject({ state: 'Verifying', active: A, restoring: true });
    expect(fallen.effects).toEqual([{ kind: 'Restore', target: A }]);
    const serving = transition(fallen.situation, { kind: 'Restored' });
    expect(serving.effects).toEqual([{ kind: 'Verify', target: B }]);
  });

  it('falls back when loading the active model kills the process again and again', () => {
    let situation = inState('Active');
    for (let i = 0; i < CRASHES_MAX; i++) {
      const resumed = resume(situation, { clean: false });
      expect(resumed.effects).toEqual([{ kind: 'Restore', target: B }]);
      situation = resumed.situation;
    }
    const { situation: fallen, effects } = resume(situation, { clean: false });
    expect(fallen).toMatchObject({ state: 'Failed', failure: { reason: 'CrashLoop' }, active: A });
    expect(effects).toEqual([{ kind: 'Restore', target: A }]);
  });

  it('ends without a model only when neither can be loaded', () => {
    const resumed = resume(inState('Failed', { previous: C }), { clean: false });
    const once = transition(resumed.situation, { kind: 'RestoreFailed', failure: FAILURE });
    expect(once.situation.active).toBe(C);
    const twice = transition(once.situation, { kind: 'RestoreFailed', failure: FAILURE });
    expect(twice.situation).toMatchObject({ state: 'Failed', active: null, restoring: false });
  });
});

const anyEvent = fc.oneof(
  fc.constantFrom(...EVENTS),
  fc.record({
    kind: fc.constant('DesiredReceived' as const),
    desired: fc
      .tuple(fc.constantFrom(A, B, C, null), fc.nat(6), fc.nat(2))
      .map(([target, revision, attempt]) => desiredOf(target, { revision: revision + 1, attempt })),
  }),
);
const anyStep = fc.oneof(anyEvent, fc.constantFrom('crash' as const, 'end' as const));

it('keeps its promises over any history of events, crashes and ends', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      let situation = INITIAL_SITUATION;
      let highest = 0;
      for (const step of steps) {
        const outcome =
          typeof step === 'string'
            ? resume(situation, { clean: step === 'end' })
            : transition(situation, step);
        const before = situation;
        situation = outcome.situation;
        highest = Math.max(highest, situation.desired?.revision ?? 0);
        expect(situation.desired?.revision ?? 0).toBe(highest);
        expect(situation.state === 'Failed').toBe(situation.failure !== null);
        if (situation.state === 'Active') {
          expect(situation.active?.artifact.id).toBe(situation.desired?.target?.artifact.id);
        }
        if (situation.state === 'Idle') expect(situation.active).toBeNull();
        if (situation.restoring) expect(situation.active).not.toBeNull();
        if (typeof step !== 'string' && step.kind === 'StepFailed') {
          expect(situation.active).toBe(before.active);
        }
      }
    }),
    { numRuns: 500 },
  );
});
