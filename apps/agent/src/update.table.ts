import type { Desired, Phase, Target } from '@entrofleet/protocol';
import { crashLoop, nameOf } from './crash.loop.ts';
import { kept, needed } from './kept.artifacts.ts';
import { lostAfterStart, lostNow, recovery } from './lost.model.ts';
import { holdOf, holdsDownload } from './update.hold.ts';
import type { Effect, Outcome, Situation, UpdateEvent, UpdateEventKind } from './update.states.ts';

/** A model that takes the process down so often while it is new is given up. */
export const CRASHES_MAX = 3;
/** An artifact found damaged on disk is mended so often before the disk is blamed. */
export const REPAIRS_MAX = 3;

type EventOf<K extends UpdateEventKind> = Extract<UpdateEvent, { kind: K }>;
type Transition<K extends UpdateEventKind> = (situation: Situation, event: EventOf<K>) => Outcome;
type Row = { readonly [K in UpdateEventKind]: Transition<K> };

/** What is recovered too late is dropped: its memory is the new model's. */
const UNRECOVERED = { Recovered: ignore, RecoverFailed: ignore };

/**
 * The transition table of the update. A row is a state, a column an event. Every state takes a
 * desired state, the end of a restore, and what becomes of the model that serves, at any time; all
 * else belongs to one state.
 */
export const TABLE: Readonly<Record<Phase, Row>> = {
  Idle: row({}),
  Downloading: row({ Downloaded: to('Verifying'), StepFailed: fail }),
  Verifying: row({ Verified: stage, FoundDamaged: mend, StepFailed: fail }),
  Staged: row({}),
  Decoding: row({ Loaded: to('Testing'), StepFailed: fail, ...UNRECOVERED }),
  Testing: row({ Tested: to('Activating'), StepFailed: fail, ...UNRECOVERED }),
  Activating: row({ Switched: commit, StepFailed: fail, ...UNRECOVERED }),
  Active: row({}),
  Failed: row({}),
};

/**
 * Where a state goes on after a crash or power loss. What was in memory is gone, so a model that
 * was under test is decoded again; `guarded` states count the crash against the new model.
 */
export const RESUME: Readonly<Record<Phase, { state: Phase; guarded: boolean }>> = {
  Idle: { state: 'Idle', guarded: false },
  Downloading: { state: 'Downloading', guarded: false },
  Verifying: { state: 'Verifying', guarded: false },
  Staged: { state: 'Staged', guarded: false },
  Decoding: { state: 'Decoding', guarded: true },
  Testing: { state: 'Decoding', guarded: true },
  Activating: { state: 'Decoding', guarded: true },
  Active: { state: 'Active', guarded: false },
  Failed: { state: 'Failed', guarded: false },
};

/** Applies one event. Pure: the caller journals the situation, then carries out the effects. */
export function transition(situation: Situation, event: UpdateEvent): Outcome {
  const cell = TABLE[situation.state][event.kind] as Transition<UpdateEventKind>;
  return cell(situation, event);
}

/**
 * Takes up the journaled situation in a new process. The model that served is loaded and served
 * first; the unfinished update goes on after that.
 *
 * @param options.clean the last process ended on purpose, so nothing is counted as a crash
 */
export function resume(last: Situation, options: { clean: boolean }): Outcome {
  const guarded = guardCandidate(last, options);
  const watched = options.clean || RESUME[last.state].guarded ? guarded : guardActive(guarded);
  if (watched.active === null) {
    return entered({ ...watched, restoring: false, lost: lostAfterStart(watched, options) });
  }
  // Without another model to serve, giving this one up would leave none: power may just be bad.
  if (watched.restoreStarts >= CRASHES_MAX && hasPrevious(watched)) {
    const { restoreStarts, active } = watched;
    const message = `the agent died ${restoreStarts} times while it loaded ${nameOf(active)}`;
    return fallBack(watched, { reason: 'CrashLoop', message });
  }
  return restore(watched, watched.active);
}

/** Counts a crash in a guarded state against the model that was being tried. */
function guardCandidate(last: Situation, { clean }: { clean: boolean }): Situation {
  const plan = RESUME[last.state];
  const crashes = last.crashes + (plan.guarded && !clean ? 1 : 0);
  const restoreStarts = clean ? 0 : last.restoreStarts;
  const loadAhead = last.loadAhead && clean;
  const resumed: Situation = { ...last, state: plan.state, crashes, restoreStarts, loadAhead };
  if (crashes < CRASHES_MAX) return resumed;
  const given = failed(resumed, crashLoop(resumed));
  return given.next === null ? given : take(given, given.next).situation;
}

/** Counts a crash against a model that serves and is new. */
function guardActive(last: Situation): Situation {
  const { trial, active } = last;
  if (trial === null || active === null) return last;
  const crashes = trial.crashes + 1;
  const counted = { ...last, trial: { crashes } };
  if (crashes < CRASHES_MAX || !hasPrevious(last)) return counted;
  const message = `the agent died ${crashes} times while ${nameOf(active)} was new and served`;
  return rolledBack(counted, { reason: 'CrashLoop', message });
}

/** A desired state counts when its revision is higher, or the same with a higher attempt. */
export function isNewer(desired: Desired, than: Desired | null): boolean {
  if (than === null || desired.revision > than.revision) return true;
  return desired.revision === than.revision && desired.attempt > than.attempt;
}

function row(own: Partial<Row>): Row {
  return {
    DesiredReceived: accept,
    Restored: restored,
    RestoreFailed: restoreFailed,
    Recovered: recovered,
    RecoverFailed: recoverFailed,
    ServingFailed: rollBack,
    TrialPassed: endTrial,
    Downloaded: ignore,
    Verified: ignore,
    FoundDamaged: ignore,
    Loaded: ignore,
    Tested: ignore,
    Switched: ignore,
    StepFailed: ignore,
    ...own,
  };
}

function ignore(situation: Situation): Outcome {
  return { situation, effects: [] };
}

function to(state: Phase): (situation: Situation) => Outcome {
  return (situation) => entered({ ...situation, state });
}

/** Gives a state the effects that belong to being in it; they wait while a model is restored. */
function entered(situation: Situation, first: readonly Effect[] = []): Outcome {
  const effects = situation.restoring ? [] : effectsOn(situation);
  return { situation, effects: [...first, ...effects] };
}

function effectsOn(situation: Situation): Effect[] {
  const target = situation.desired?.target ?? null;
  switch (situation.state) {
    case 'Downloading':
      if (target === null) return [];
      if (holdsDownload(situation)) return recovery(situation);
      return [...recovery(situation), downloadOf(situation, target)];
    case 'Verifying':
      return target === null ? [] : [{ kind: 'Verify', target }];
    case 'Decoding':
      return target === null ? [] : [...unrecovered(situation), { kind: 'Load', target }];
    case 'Testing':
      return target === null ? [] : [{ kind: 'Test', target }];
    case 'Activating':
      return target === null ? [] : [{ kind: 'Switch', target }];
    case 'Active':
      return [{ kind: 'Collect', keep: kept(situation) }];
    case 'Staged':
      return [...recovery(situation), { kind: 'DropCandidate' }];
    case 'Failed':
      // Of artifacts that have failed only the last stays, or they would fill the disk.
      return [
        { kind: 'Collect', keep: kept(situation) },
        ...recovery(situation),
        { kind: 'DropCandidate' },
      ];
    case 'Idle':
      return [{ kind: 'Collect', keep: kept(situation) }];
  }
}

/** The memory is the new model's from here on. */
function unrecovered({ lost }: Situation): Effect[] {
  return lost === null ? [] : [{ kind: 'StopServing' }];
}

/** What is loaded ahead takes memory, so not for a device that is to wait before activation. */
function downloadOf(situation: Situation, target: Target): Effect {
  const loadAhead = situation.loadAhead && holdOf(situation) === 'None';
  return { kind: 'Download', target, keep: needed(situation), loadAhead };
}

const ACTIVATING: ReadonlySet<Phase> = new Set(['Decoding', 'Testing', 'Activating']);
const IN_PROGRESS: ReadonlySet<Phase> = new Set([
  'Downloading',
  'Verifying',
  'Staged',
  ...ACTIVATING,
]);

function accept(situation: Situation, event: EventOf<'DesiredReceived'>): Outcome {
  const { desired } = event;
  if (!isNewer(desired, situation.next ?? situation.desired)) {
    return { situation, effects: [{ kind: 'Publish' }] };
  }
  if (isSameTask(situation, desired)) return goOn(situation, desired);
  if (ACTIVATING.has(situation.state) && desired.onAbandon === 'Finish') {
    return { situation: { ...situation, next: desired }, effects: [{ kind: 'Publish' }] };
  }
  return take(situation, desired);
}

/**
 * The desired state asks for what is under way, or for what has failed and is not to be tried
 * again: it may only be held or let go, or given other timeouts.
 */
function isSameTask(situation: Situation, desired: Desired): boolean {
  const before = situation.desired;
  if (before?.target == null || desired.target === null) return false;
  if (IN_PROGRESS.has(situation.state)) {
    return before.target.artifact.id === desired.target.artifact.id;
  }
  return (
    situation.state === 'Failed' &&
    before.rollout === desired.rollout &&
    before.attempt === desired.attempt &&
    workText(before.target) === workText(desired.target)
  );
}

/** What a target asks for; the ways to it are no part of that. */
function workText(target: Target): string {
  return JSON.stringify({ ...target, deltas: undefined });
}

function goOn(before: Situation, desired: Desired): Outcome {
  const situation = { ...before, desired, next: null };
  const publish: Effect = { kind: 'Publish' };
  const isHeld = holdOf(situation) !== 'None';
  if (situation.state === 'Staged' && !isHeld) return entered({ ...situation, state: 'Decoding' });
  if (situation.state === 'Downloading' && holdsDownload(situation) !== holdsDownload(before)) {
    return entered(situation, [{ kind: 'CancelStep' }, { kind: 'DropCandidate' }, publish]);
  }
  const waits = situation.state === 'Downloading' || situation.state === 'Verifying';
  const forget: Effect[] = waits && isHeld ? [{ kind: 'DropCandidate' }] : [];
  return { situation, effects: [...forget, publish] };
}

/** Sets out for another target; whatever was under way is dropped. */
function take(situation: Situation, desired: Desired): Outcome {
  const untried = { failure: null, crashes: 0, repairs: 0, loadAhead: true, rolledBack: null };
  const fresh = { ...situation, desired, next: null, ...untried };
  const abandon: Effect[] = [
    { kind: 'CancelStep' },
    { kind: 'DropCandidate' },
    ...unrecovered(situation),
  ];
  if (desired.target === null) return stop(fresh, abandon);
  if (situation.active?.artifact.id === desired.target.artifact.id) {
    return entered({ ...fresh, state: 'Active', active: desired.target }, abandon);
  }
  return entered({ ...fresh, state: 'Downloading' }, abandon);
}

function stop(situation: Situation, abandon: readonly Effect[]): Outcome {
  const next: Situation = {
    ...situation,
    state: 'Idle',
    active: null,
    previous: situation.active ?? situation.previous,
    restoring: false,
    restoreStarts: 0,
    trial: null,
    lost: null,
  };
  return entered(next, [...abandon, { kind: 'StopServing' }]);
}

/** The update has ended: a desired state that has waited for it has its turn. */
function ended(situation: Situation): Outcome {
  return situation.next === null ? entered(situation) : take(situation, situation.next);
}

function fail(situation: Situation, event: EventOf<'StepFailed'>): Outcome {
  return ended(failed(situation, event.failure));
}

function failed(situation: Situation, failure: Situation['failure']): Situation {
  return { ...situation, state: 'Failed', failure };
}

function stage(situation: Situation): Outcome {
  const state = holdOf(situation) === 'None' ? 'Decoding' : 'Staged';
  return entered({ ...situation, state });
}

function mend(situation: Situation, event: EventOf<'FoundDamaged'>): Outcome {
  const repairs = situation.repairs + 1;
  if (repairs <= REPAIRS_MAX) return entered({ ...situation, state: 'Downloading', repairs });
  const message = `${event.message}, after ${REPAIRS_MAX} repairs; the disk loses data`;
  return entered(failed(situation, { reason: 'HashMismatch', message }));
}

function commit(situation: Situation): Outcome {
  const target = situation.desired?.target ?? null;
  const replaced = situation.active ?? situation.previous;
  const previous = replaced?.artifact.id === target?.artifact.id ? situation.previous : replaced;
  return ended({
    ...situation,
    state: 'Active',
    active: target,
    previous,
    crashes: 0,
    repairs: 0,
    trial: { crashes: 0 },
    lost: null,
  });
}

function restore(situation: Situation, active: Target): Outcome {
  const restoreStarts = situation.restoreStarts + 1;
  return {
    situation: { ...situation, active, restoring: true, restoreStarts },
    effects: [{ kind: 'Restore', target: active }],
  };
}

function restored(situation: Situation): Outcome {
  if (!situation.restoring) return ignore(situation);
  return entered({ ...situation, restoring: false, restoreStarts: 0, lost: null });
}

function restoreFailed(situation: Situation, event: EventOf<'RestoreFailed'>): Outcome {
  return situation.restoring ? fallBack(situation, event.failure) : ignore(situation);
}

/** Where it is still wanted, having it is all there was to do. */
function recovered(situation: Situation): Outcome {
  const { lost, desired } = situation;
  if (lost === null) return ignore(situation);
  const wanted = desired?.target ?? null;
  const found = { ...situation, active: lost.target, lost: null };
  if (wanted?.artifact.id !== lost.target.artifact.id) return ignore(found);
  const abandon: Effect[] = [{ kind: 'CancelStep' }, { kind: 'DropCandidate' }];
  return entered({ ...found, state: 'Active', active: wanted, failure: null }, abandon);
}

function recoverFailed(situation: Situation, { failure }: EventOf<'RecoverFailed'>): Outcome {
  const { lost } = situation;
  if (lost === null) return ignore(situation);
  const next = { ...situation, lost: { ...lost, tries: lost.tries + 1, failure } };
  return { situation: next, effects: recovery(next) };
}

function endTrial(situation: Situation): Outcome {
  return situation.trial === null ? ignore(situation) : ignore({ ...situation, trial: null });
}

/** A new model that serves badly goes on serving until the one before it is loaded again. */
function rollBack(situation: Situation, event: EventOf<'ServingFailed'>): Outcome {
  if (situation.trial === null || situation.restoring || !hasPrevious(situation)) {
    return ignore(situation);
  }
  const back = rolledBack(situation, event.failure);
  return back.active === null ? ignore(situation) : restore(back, back.active);
}

/** The model given up stays at hand in case the one before it cannot be loaded at all. */
function rolledBack(situation: Situation, failure: NonNullable<Situation['failure']>): Situation {
  const { active, previous } = situation;
  if (active === null) return situation;
  const settled = situation.state === 'Active' ? failed(situation, failure) : situation;
  const change = { active: previous, previous: active, trial: null, restoreStarts: 0 };
  return { ...settled, ...change, rolledBack: { ...failure, from: active } };
}

function hasPrevious({ active, previous }: Situation): boolean {
  return previous !== null && previous.artifact.id !== active?.artifact.id;
}

/**
 * The active model cannot be loaded again. The one before it serves instead; when the lost one is
 * still wanted, its artifact is checked and mended, unless it crashed the process. Where there is no
 * other, the lost one is tried again until something serves.
 */
function fallBack(situation: Situation, failure: NonNullable<Situation['failure']>): Outcome {
  const { active, previous } = situation;
  const isGivenUp = situation.state === 'Active' && failure.reason === 'CrashLoop';
  const settled = isGivenUp
    ? failed(situation, failure)
    : { ...situation, state: situation.state === 'Active' ? 'Verifying' : situation.state };
  const lost = isGivenUp ? null : lostNow(situation, failure);
  const next: Situation = { ...settled, restoreStarts: 0, previous: null, trial: null, lost };
  if (previous === null || !hasPrevious(situation)) {
    return entered({ ...next, active: null, restoring: false });
  }
  if (isGivenUp && active !== null) {
    return restore({ ...next, rolledBack: { ...failure, from: active } }, previous);
  }
  const isBack = previous.artifact.id === next.rolledBack?.from.artifact.id;
  return restore(isBack ? { ...next, rolledBack: null } : next, previous);
}
