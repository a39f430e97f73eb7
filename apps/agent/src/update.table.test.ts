import { type Phase, phaseSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { kept } from './kept.artifacts.ts';
import { INITIAL_SITUATION, type Situation, type UpdateEvent } from './update.states.ts';
import { CRASHES_MAX, REPAIRS_MAX, RESUME, resume, TABLE, transition } from './update.table.ts';

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
  { kind: 'Recovered' },
  { kind: 'RecoverFailed', failure: FAILURE },
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
