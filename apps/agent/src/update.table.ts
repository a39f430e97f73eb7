import type { Desired, Phase, Target } from '@entrofleet/protocol';
import type { Effect, Outcome, Situation, UpdateEvent, UpdateEventKind } from './update.states.ts';

/** A model that takes the process down so often while it is new is given up. */
export const CRASHES_MAX = 3;
/** An artifact found damaged on disk is mended so often before the disk is blamed. */
export const REPAIRS_MAX = 3;

type EventOf<K extends UpdateEventKind> = Extract<UpdateEvent, { kind: K }>;
type Transition<K extends UpdateEventKind> = (situation: Situation, event: EventOf<K>) => Outcome;
type Row = { readonly [K in UpdateEventKind]: Transition<K> };

/**
 * The transition table of the update. A row is a state, a column an event. Every state takes a
 * desired state and the end of a restore at any time; all else belongs to one state.
 */
export const TABLE: Readonly<Record<Phase, Row>> = {
  Idle: row({}),
  Downloading: row({ Downloaded: to('Verifying'), StepFailed: fail }),
  Verifying: row({ Verified: to('Decoding'), FoundDamaged: mend, StepFailed: fail }),
  Staged: row({}),
  Decoding: row({ Loaded: to('Testing'), StepFailed: fail }),
  Testing: row({ Tested: to('Activating'), StepFailed: fail }),
  Activating: row({ Switched: commit, StepFailed: fail }),
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
  const plan = RESUME[last.state];
  const crashes = last.crashes + (plan.guarded && !options.clean ? 1 : 0);
  const restoreStarts = options.clean ? 0 : last.restoreStarts;
  const loadAhead = last.loadAhead && options.clean;
  const resumed: Situation = { ...last, state: plan.state, crashes, restoreStarts, loadAhead };
  const guarded = crashes < CRASHES_MAX ? resumed : failed(resumed, crashLoop(resumed));
  if (guarded.active === null) return entered({ ...guarded, restoring: false });
  if (restoreStarts >= CRASHES_MAX) {
    const message = `the agent died ${restoreStarts} times while it loaded ${nameOf(guarded.active)}`;
    return fallBack(guarded, { reason: 'CrashLoop', message });
  }
  return restore(guarded, guarded.active);
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
      return target === null ? [] : [downloadOf(situation, target)];
    case 'Verifying':
      return target === null ? [] : [{ kind: 'Verify', target }];
    case 'Staged':
      return [];
    case 'Decoding':
      return target === null ? [] : [{ kind: 'Load', target }];
    case 'Testing':
      return target === null ? [] : [{ kind: 'Test', target }];
    case 'Activating':
      return target === null ? [] : [{ kind: 'Switch', target }];
    case 'Active':
      return [{ kind: 'Collect', keep: kept(situation) }];
    case 'Failed':
      return [{ kind: 'DropCandidate' }];
    case 'Idle':
      return [{ kind: 'Collect', keep: kept(situation) }];
  }
}

function downloadOf(situation: Situation, target: Target): Effect {
  const { loadAhead } = situation;
  return { kind: 'Download', target, keep: kept(situation), loadAhead };
}

/** Artifacts that stay on disk: what serves, what served before, what is wanted. */
export function kept(situation: Situation): string[] {
  const targets = [situation.active, situation.previous, situation.desired?.target ?? null];
  return [...new Set(targets.flatMap((target) => (target === null ? [] : [target.artifact.id])))];
}

const IN_PROGRESS: ReadonlySet<Phase> = new Set([
  'Downloading',
  'Verifying',
  'Decoding',
  'Testing',
  'Activating',
]);

function accept(situation: Situation, event: EventOf<'DesiredReceived'>): Outcome {
  const { desired } = event;
  if (!isNewer(desired, situation.desired)) return { situation, effects: [{ kind: 'Publish' }] };
  const untried = { failure: null, crashes: 0, repairs: 0, loadAhead: true };
  const fresh = { ...situation, desired, ...untried };
  const abandon: Effect[] = [{ kind: 'CancelStep' }, { kind: 'DropCandidate' }];
  if (desired.target === null) return stop(fresh, abandon);
  const wanted = desired.target.artifact.id;
  if (situation.active?.artifact.id === wanted) {
    return entered({ ...fresh, state: 'Active', active: desired.target }, abandon);
  }
  const current = situation.desired?.target?.artifact.id;
  if (IN_PROGRESS.has(situation.state) && current === wanted) {
    return { situation: { ...situation, desired }, effects: [{ kind: 'Publish' }] };
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
  };
  return entered(next, [...abandon, { kind: 'StopServing' }]);
}

function fail(situation: Situation, event: EventOf<'StepFailed'>): Outcome {
  return entered(failed(situation, event.failure));
}

function failed(situation: Situation, failure: Situation['failure']): Situation {
  return { ...situation, state: 'Failed', failure };
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
  return entered({
    ...situation,
    state: 'Active',
    active: target,
    previous,
    crashes: 0,
    repairs: 0,
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
  return entered({ ...situation, restoring: false, restoreStarts: 0 });
}

function restoreFailed(situation: Situation, event: EventOf<'RestoreFailed'>): Outcome {
  return situation.restoring ? fallBack(situation, event.failure) : ignore(situation);
}

/**
 * The active model cannot be loaded again. The one before it serves instead; when the lost one is
 * still wanted, its artifact is checked and mended, unless it crashed the process.
 */
function fallBack(situation: Situation, failure: NonNullable<Situation['failure']>): Outcome {
  const settled =
    situation.state !== 'Active'
      ? situation
      : failure.reason === 'CrashLoop'
        ? failed(situation, failure)
        : { ...situation, state: 'Verifying' as const };
  const next = { ...settled, restoreStarts: 0, previous: null };
  const previous = situation.previous;
  if (previous !== null && previous.artifact.id !== situation.active?.artifact.id) {
    return restore(next, previous);
  }
  return entered({ ...next, active: null, restoring: false });
}

function crashLoop(situation: Situation): NonNullable<Situation['failure']> {
  const target = situation.desired?.target ?? null;
  const serving = situation.active === null ? 'no model' : nameOf(situation.active);
  return {
    reason: 'CrashLoop',
    message:
      `the agent died ${situation.crashes} times while ${target === null ? 'a model' : nameOf(target)} ` +
      `was decoded, tested or activated; it goes on with ${serving}`,
  };
}

function nameOf(target: Target): string {
  return `${target.model} ${target.variant}`;
}
