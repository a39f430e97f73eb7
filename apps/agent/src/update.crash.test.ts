import { type Desired, type Phase, phaseSchema, type Target } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import {
  type Effect,
  INITIAL_SITUATION,
  type Outcome,
  type Situation,
  type UpdateEvent,
} from './update.states.ts';
import { CRASHES_MAX, resume, transition } from './update.table.ts';

const A = targetOf(referenceOf('a'), { model: 'old' });
const B = targetOf(referenceOf('b'), { model: 'new' });
const C = targetOf(referenceOf('c'), { model: 'newer' });
const FAILURE = { reason: 'DiskFull', message: 'full' };
const CALM = { crashAfter: Number.POSITIVE_INFINITY };

class PowerLost extends Error {}

/**
 * A device of which only the journal outlives a crash. Every write of the journal and every effect
 * is followed by a place where the power may be lost; steps succeed unless told otherwise.
 */
class SimulatedDevice {
  journal: Situation;
  served: Target | null;
  fails: Effect['kind'] | null = null;
  #situation: Situation;
  #candidate: Target | null = null;
  #step: UpdateEvent | null = null;
  #restore: UpdateEvent | null = null;
  #placesLeft = Number.POSITIVE_INFINITY;

  /** @param step how the step ends that is under way */
  constructor(situation: Situation, step: UpdateEvent | null = null) {
    this.journal = situation;
    this.#situation = situation;
    this.served = situation.active;
    this.#step = step;
    const isLoaded = step !== null && ['Loaded', 'Tested', 'Switched'].includes(step.kind);
    this.#candidate = isLoaded ? (situation.desired?.target ?? null) : null;
  }

  get situation(): Situation {
    return this.#situation;
  }

  /** Deals with an event and all that follows from it; the power may be lost on the way. */
  post(event: UpdateEvent, { crashAfter }: { crashAfter: number }): void {
    this.#placesLeft = crashAfter;
    // A step ends once, with its own end or a failure.
    if (event.kind === 'StepFailed' || event.kind === this.#step?.kind) this.#step = null;
    this.#survive(() => this.#apply(transition(this.#situation, event)));
  }

  /** Lets steps that are under way come to their ends. */
  settle({ crashAfter }: { crashAfter: number }): void {
    this.#placesLeft = crashAfter;
    this.#survive(() => {
      for (let event = this.#next(); event !== null; event = this.#next()) {
        this.#apply(transition(this.#situation, event));
      }
    });
  }

  /** The process ends and starts again. */
  restart(options: { clean: boolean }): void {
    this.served = null;
    this.#candidate = null;
    this.#step = null;
    this.#restore = null;
    this.#placesLeft = Number.POSITIVE_INFINITY;
    this.#apply(resume(this.journal, options));
  }

  #survive(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof PowerLost)) throw error;
      this.restart({ clean: false });
    }
  }

  #next(): UpdateEvent | null {
    const event = this.#restore ?? this.#step;
    if (event !== null && event === this.#restore) this.#restore = null;
    else this.#step = null;
    if (event?.kind === 'Switched') this.served = this.#candidate;
    return event;
  }

  #apply({ situation, effects }: Outcome): void {
    this.#mayLosePower();
    this.journal = situation;
    this.#situation = situation;
    this.#mayLosePower();
    for (const effect of effects) {
      this.#carryOut(effect);
      this.#mayLosePower();
    }
  }

  #mayLosePower(): void {
    if (this.#placesLeft-- <= 0) throw new PowerLost();
  }

  #carryOut(effect: Effect): void {
    const failed = effect.kind === this.fails;
    const end = (event: UpdateEvent) => {
      this.#step = failed ? { kind: 'StepFailed', failure: FAILURE } : event;
    };
    switch (effect.kind) {
      case 'Download':
        end({ kind: 'Downloaded' });
        break;
      case 'Verify':
        end({ kind: 'Verified' });
        break;
      case 'Load':
        this.#candidate = effect.target;
        end({ kind: 'Loaded' });
        break;
      case 'Test':
        expect(this.#candidate?.artifact.id).toBe(effect.target.artifact.id);
        end({ kind: 'Tested' });
        break;
      case 'Switch':
        expect(this.#candidate?.artifact.id).toBe(effect.target.artifact.id);
        this.served = this.#candidate;
        this.#candidate = null;
        this.#apply(transition(this.#situation, { kind: 'Switched' }));
        break;
      case 'Restore':
        if (!failed) this.served = effect.target;
        this.#restore = failed ? { kind: 'RestoreFailed', failure: FAILURE } : { kind: 'Restored' };
        break;
      case 'Recover':
        // It may be back already, and the word of it on its way.
        if (this.served !== null) expect(this.served).toEqual(effect.target);
        this.served = effect.target;
        this.#restore = { kind: 'Recovered' };
        break;
      case 'CancelStep':
        this.#step = null;
        break;
      case 'DropCandidate':
        this.#candidate = null;
        break;
      case 'StopServing':
        this.served = null;
        this.#restore = null;
        break;
      case 'Collect':
        for (const target of [
          ...[this.#situation.active, this.#situation.desired?.target],
          this.#situation.lost?.target,
        ]) {
          if (target != null) expect(effect.keep).toContain(target.artifact.id);
        }
        break;
      case 'Publish':
        break;
    }
  }
}

/** What must hold whenever a device has come to rest. */
function expectAtRest({ situation, served }: SimulatedDevice): void {
  const { state, active, desired, failure, restoring, lost } = situation;
  expect(restoring).toBe(false);
  expect(lost).toBeNull();
  expect(served?.artifact.id).toBe(active?.artifact.id);
  expect(state === 'Failed').toBe(failure !== null);
  const hold = desired?.hold ?? 'None';
  const waits = (state === 'Downloading' && hold === 'Download') || state === 'Staged';
  if (waits) expect(hold).not.toBe('None');
  else expect(['Active', 'Failed', 'Idle']).toContain(state);
  if (state === 'Active') expect(active?.artifact.id).toBe(desired?.target?.artifact.id);
  if (state === 'Idle') expect(active).toBeNull();
}

const STATES = phaseSchema.options;
const HOLD: Partial<Record<Phase, Desired['hold']>> = { Staged: 'Activation' };
const END: Partial<Record<Phase, UpdateEvent>> = {
  Downloading: { kind: 'Downloaded' },
  Verifying: { kind: 'Verified' },
  Decoding: { kind: 'Loaded' },
  Testing: { kind: 'Tested' },
  Activating: { kind: 'Switched' },
};

/** A device on the way from A to B, or resting on one of them, in a state as it is journaled. */
function deviceIn(state: Phase): SimulatedDevice {
  const hold = HOLD[state];
  const desired = desiredOf(B, { revision: 5, ...(hold === undefined ? {} : { hold }) });
  const isOn = state === 'Active';
  return new SimulatedDevice(
    {
      ...INITIAL_SITUATION,
      state,
      desired,
      active: isOn ? B : state === 'Idle' ? null : A,
      previous: isOn ? A : null,
      failure: state === 'Failed' ? FAILURE : null,
      trial: isOn ? { crashes: 0 } : null,
    },
    END[state] ?? null,
  );
}

const EVENTS: Readonly<Record<string, UpdateEvent>> = {
  'another target': { kind: 'DesiredReceived', desired: desiredOf(C, { revision: 9 }) },
  'another target after this': {
    kind: 'DesiredReceived',
    desired: desiredOf(C, { revision: 9, onAbandon: 'Finish' }),
  },
  'the old target': { kind: 'DesiredReceived', desired: desiredOf(A, { revision: 9 }) },
  'the same, held': {
    kind: 'DesiredReceived',
    desired: desiredOf(B, { revision: 9, hold: 'Download' }),
  },
  'the same, not held': { kind: 'DesiredReceived', desired: desiredOf(B, { revision: 9 }) },
  'no target': { kind: 'DesiredReceived', desired: desiredOf(null, { revision: 9 }) },
  Downloaded: { kind: 'Downloaded' },
  Verified: { kind: 'Verified' },
  FoundDamaged: { kind: 'FoundDamaged', message: '1 chunk' },
  Loaded: { kind: 'Loaded' },
  Tested: { kind: 'Tested' },
  StepFailed: { kind: 'StepFailed', failure: FAILURE },
  Restored: { kind: 'Restored' },
  RestoreFailed: { kind: 'RestoreFailed', failure: FAILURE },
  ServingFailed: { kind: 'ServingFailed', failure: FAILURE },
  TrialPassed: { kind: 'TrialPassed' },
};
/** More than any way through the table has places where power may be lost. */
const PLACES = 24;

describe('power lost after any write and effect', () => {
  for (const state of STATES) {
    for (const [name, event] of Object.entries(EVENTS)) {
      it(`${state} x ${name} converges, and a model serves`, () => {
        for (let crashAfter = 0; crashAfter < PLACES; crashAfter++) {
          const device = deviceIn(state);
          device.post(event, { crashAfter });
          device.settle({ crashAfter });
          device.settle(CALM);
          expectAtRest(device);
          const wantsNone = device.situation.desired?.target === null;
          if (!wantsNone && state !== 'Idle') expect(device.served).not.toBeNull();
        }
      });
    }
  }
});

const targets = fc.constantFrom(A, B, C);
const wishes = fc.record({
  kind: fc.constant('want' as const),
  target: fc.oneof({ weight: 8, arbitrary: targets }, fc.constant(null)),
  hold: fc.constantFrom('None' as const, 'Download' as const, 'Activation' as const),
  onAbandon: fc.constantFrom('Finish' as const, 'RollBack' as const),
  crashAfter: fc.nat(30),
});
const happenings = fc.oneof(
  wishes,
  fc.record({ kind: fc.constant('settle' as const), crashAfter: fc.nat(30) }),
  fc.record({ kind: fc.constant('end' as const) }),
  fc.record({ kind: fc.constant('nothing loads' as const), crashAfter: fc.nat(10) }),
  fc.record({ kind: fc.constant('serving fails' as const), crashAfter: fc.nat(10) }),
  fc.record({
    kind: fc.constant('step fails' as const),
    step: fc.constantFrom('Download' as const, 'Verify' as const, 'Load' as const, 'Test' as const),
  }),
);

/** It serves one, or is after getting it back. */
function hasModel({ active, lost }: Situation): boolean {
  return active !== null || lost !== null;
}

it('over any history a model serves once one has, and the last wish is met in the end', () => {
  fc.assert(
    fc.property(fc.array(happenings, { maxLength: 30 }), targets, (history, last) => {
      const device = new SimulatedDevice(INITIAL_SITUATION);
      let revision = 0;
      const want = (target: Target | null, more: Partial<Desired>): UpdateEvent => ({
        kind: 'DesiredReceived',
        desired: desiredOf(target, { ...more, revision: ++revision }),
      });
      for (const happening of history) {
        const hadModel = hasModel(device.situation);
        const { kind } = happening;
        if (kind === 'want') {
          const { target, hold, onAbandon } = happening;
          device.post(want(target, { hold, onAbandon }), happening);
        }
        if (kind === 'settle') device.settle(happening);
        if (kind === 'end') device.restart({ clean: true });
        if (kind === 'serving fails') device.post(EVENTS.ServingFailed as UpdateEvent, happening);
        if (kind === 'nothing loads') {
          device.fails = 'Restore';
          device.restart({ clean: true });
          device.settle(happening);
        }
        device.fails = kind === 'step fails' ? happening.step : null;
        if (kind === 'step fails') device.settle(CALM);
        device.fails = null;
        const wasStopped = device.situation.desired?.target === null;
        if (hadModel && !wasStopped) expect(hasModel(device.situation)).toBe(true);
      }
      device.settle(CALM);
      expectAtRest(device);
      device.post(want(last, { attempt: 1 }), CALM);
      device.settle(CALM);
      expectAtRest(device);
      expect(device.situation).toMatchObject({ state: 'Active', active: last });
    }),
    { numRuns: 1000 },
  );
});

describe('a model that takes the process down', () => {
  it('while it is new and serves is given up for the one before it', () => {
    const device = deviceIn('Active');
    for (let crash = 0; crash < CRASHES_MAX; crash++) {
      expect(device.served?.model).toBe('new');
      device.restart({ clean: false });
      device.settle(CALM);
    }
    expectAtRest(device);
    expect(device.served?.model).toBe('old');
    expect(device.situation).toMatchObject({
      state: 'Failed',
      failure: { reason: 'CrashLoop' },
      rolledBack: { reason: 'CrashLoop', from: { model: 'new' } },
    });
  });

  it('is kept when it has passed its trial, ends on purpose, or there is none before it', () => {
    const passed = deviceIn('Active');
    passed.post({ kind: 'TrialPassed' }, CALM);
    const stopped = deviceIn('Active');
    const only = new SimulatedDevice({ ...deviceIn('Active').journal, previous: null });
    for (let crash = 0; crash < 2 * CRASHES_MAX; crash++) {
      for (const device of [passed, stopped, only]) {
        device.restart({ clean: device === stopped });
        device.settle(CALM);
        expect(device.served?.model).toBe('new');
        expect(device.situation).toMatchObject({ state: 'Active', rolledBack: null });
      }
    }
  });

  it('is loaded again however often it takes the process down when there is no other', () => {
    for (const state of ['Active', 'Failed', 'Downloading'] as const) {
      const only = new SimulatedDevice({ ...deviceIn(state).journal, previous: null });
      for (let crash = 0; crash < 20; crash++) only.restart({ clean: false });
      expect(only.situation.active).not.toBeNull();
      only.settle(CALM);
      expectAtRest(only);
      expect(only.served).not.toBeNull();
    }
  });

  it('is served all the same when the one before it cannot be loaded', () => {
    const device = deviceIn('Active');
    device.post({ kind: 'ServingFailed', failure: FAILURE }, CALM);
    expect(device.situation).toMatchObject({ state: 'Failed', active: A, previous: B });
    device.restart({ clean: true });
    device.fails = 'Restore';
    device.restart({ clean: true });
    device.fails = null;
    device.settle(CALM);
    expectAtRest(device);
    expect(device.served?.model).toBe('new');
    expect(device.situation.rolledBack).toBeNull();
  });
});
