import type { Target } from '@entrofleet/protocol';
import { failureOf } from './errors.ts';
import type { Log } from './log.ts';
import { recoverModel } from './model.recovery.ts';
import type { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import { StepRunner } from './step.runner.ts';
import { StepTimeouts } from './step.timeouts.ts';
import { TrialTimer } from './trial.timer.ts';
import { isNewUpdate, UpdateEvidence } from './update.evidence.ts';
import type { Evidence, JournalRecord } from './update.journal.ts';
import type { Effect, Outcome, Situation, UpdateEvent } from './update.states.ts';
import type { DownloadContext, SelfTestResult, UpdateSteps } from './update.steps.ts';
import { resume, transition } from './update.table.ts';

export interface AgentOptions<M extends HeldModel> {
  readonly steps: UpdateSteps<M>;
  readonly slot: ModelSlot<M>;
  readonly journal: { write(record: JournalRecord): Promise<void> };
  /** The journal's last record; this start's boot counter is one more than its. */
  readonly last: JournalRecord;
  readonly log: Log;
  /** The reported state has changed. */
  readonly onChange: () => void;
  /** A download went on. */
  readonly onProgress: () => void;
  /** Whether the broker can be reached. Default: it can. */
  readonly isOnline?: () => boolean;
  /** What a new model must serve for to be trusted. */
  readonly trialMs?: number;
  /** A measurement of the model that serves is good enough to compare with for so long. */
  readonly baselineFreshMs?: number;
  /** First wait before a journal that could not be written is tried again. */
  readonly journalRetryMs?: number;
  /** First wait before a model that cannot be loaded again is tried once more. */
  readonly recoveryMs?: number;
}

type DownloadEffect = Extract<Effect, { kind: 'Download' }>;
type RecoverEffect = Extract<Effect, { kind: 'Recover' }>;

const TRIAL_MS = 600_000;
const BASELINE_FRESH_MS = 300_000;
const JOURNAL_RETRY_MS = 1000;
const JOURNAL_RETRY_MAX_MS = 30_000;

/**
 * The event loop of the device: takes events one by one, asks the table, journals the situation,
 * then carries out the effects. The long ones run beside it and come back as events.
 */
export class Agent<M extends HeldModel> {
  readonly boot: number;
  readonly #options: AgentOptions<M>;
  readonly #evidence: UpdateEvidence;
  readonly #step: StepRunner<UpdateEvent>;
  readonly #restore: StepRunner<UpdateEvent>;
  readonly #timeouts: StepTimeouts;
  readonly #trial: TrialTimer;
  #situation: Situation;
  #candidate: M | null = null;
  #events: Promise<void> = Promise.resolve();
  #journalFailure: string | null = null;
  /** A restore that did not wait for the journal. */
  #begun: Effect | null = null;
  #stopping = false;

  constructor(options: AgentOptions<M>) {
    this.#options = options;
    this.boot = options.last.boot + 1;
    this.#situation = options.last.situation;
    this.#evidence = new UpdateEvidence(options.last.evidence);
    this.#step = new StepRunner((event) => this.post(event));
    this.#restore = new StepRunner((event) => this.post(event));
    this.#timeouts = new StepTimeouts({
      situation: () => this.#situation,
      isOnline: options.isOnline ?? (() => true),
    });
    this.#trial = new TrialTimer({
      trialMs: options.trialMs ?? TRIAL_MS,
      onPassed: () => this.post({ kind: 'TrialPassed' }),
    });
  }

  get situation(): Situation {
    return this.#situation;
  }

  get evidence(): Evidence {
    return this.#evidence.current;
  }

  /** Why the journal cannot be written at the moment; the agent waits until it can. */
  get journalFailure(): string | null {
    return this.#journalFailure;
  }

  /** A step of an update or a restore is running. */
  get working(): boolean {
    return this.#step.running || this.#restore.running;
  }

  /** Takes up the work where the journal left it. */
  start(): void {
    const { last } = this.#options;
    const outcome = resume(last.situation, { clean: last.clean });
    this.#enqueue(() => this.#apply(outcome, { always: true }));
  }

  /** Hands in an event; it is dealt with after those before it. */
  post(event: UpdateEvent): void {
    this.#enqueue(() => this.#handle(event));
  }

  /** New figures of the model that serves; they decide nothing, so they are not journaled. */
  measured(result: SelfTestResult): void {
    this.#evidence.measured(result);
    this.#options.onChange();
  }

  /** Resolves when all events so far have been dealt with. */
  async settled(): Promise<void> {
    await this.#events;
  }

  /** Ends all steps where they are and journals that the agent ends on purpose. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#trial.stop();
    this.#step.cancel();
    this.#restore.cancel();
    await Promise.all([this.#step.idle(), this.#restore.idle()]);
    await this.#events;
    try {
      await this.#options.journal.write(this.#record({ clean: true }));
    } catch (error) {
      this.#options.log.warn(`the journal could not be closed: ${failureOf(error).message}`);
    }
    await this.#dropCandidate();
    this.#options.slot.switchTo(null);
  }

  #enqueue(work: () => Promise<void>): void {
    this.#events = this.#events.then(async () => {
      try {
        if (!this.#stopping) await work();
      } catch (error) {
        const { reason, message } = failureOf(error);
        this.#options.log.error(`an event could not be dealt with: ${reason}: ${message}`);
      }
    });
  }

  async #handle(event: UpdateEvent): Promise<void> {
    await this.#apply(transition(this.#situation, event), { always: false });
  }

  async #apply(outcome: Outcome, options: { always: boolean }): Promise<void> {
    const before = this.#situation;
    const after = outcome.situation;
    if (options.always || before !== after) {
      this.#evidence.moved(before, after);
      if (isNewUpdate(before, after)) this.#timeouts.reset();
      this.#situation = after;
      this.#announce(before, after);
      await this.#save(() => this.#restoreAtOnce(outcome.effects));
      const current = this.#options.slot.current;
      const active = after.active;
      if (current !== null && current.target.artifact.id === active?.artifact.id) {
        current.target = active;
      }
      this.#trial.follow(after);
      this.#options.onChange();
    }
    for (const effect of outcome.effects) await this.#carryOut(effect);
  }

  /**
   * After a start the model that served before serves again although the journal cannot be written:
   * it decides nothing, and a full disk is no reason to serve nothing.
   */
  #restoreAtOnce(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'Restore') continue;
      this.#begun = effect;
      this.#startRestore(effect.target);
    }
  }

  #announce(before: Situation, after: Situation): void {
    if (before.state === after.state && before.failure === after.failure) return;
    const { log } = this.#options;
    const target = after.desired?.target;
    const name = target == null ? 'no model' : `${target.model} ${target.variant}`;
    if (after.failure === null) log.info(`${before.state} -> ${after.state}: ${name}`);
    else log.error(`${after.state}: ${name}: ${after.failure.reason}: ${after.failure.message}`);
  }

  /** Nothing is done before it is journaled; on a full disk the agent waits and keeps serving. */
  async #save(onFailure: () => void): Promise<void> {
    let waitMs = this.#options.journalRetryMs ?? JOURNAL_RETRY_MS;
    while (!this.#stopping) {
      try {
        await this.#options.journal.write(this.#record({ clean: false }));
        this.#journalFailure = null;
        return;
      } catch (error) {
        const { message } = failureOf(error);
        if (this.#journalFailure === null) {
          this.#options.log.error(`the journal cannot be written, waiting: ${message}`);
          onFailure();
        }
        this.#journalFailure = message;
        this.#options.onChange();
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        waitMs = Math.min(JOURNAL_RETRY_MAX_MS, waitMs * 2);
      }
    }
  }

  #record(use: { clean: boolean }): JournalRecord {
    const { boot } = this;
    const evidence = this.#evidence.current;
    return { version: 1, boot, clean: use.clean, situation: this.#situation, evidence };
  }

  async #carryOut(effect: Effect): Promise<void> {
    if (this.#stopping) return;
    switch (effect.kind) {
      case 'Download':
        return this.#run((signal) => this.#download(effect, signal));
      case 'Verify':
        return this.#run((signal) => this.#verify(effect.target, signal));
      case 'Load':
        return this.#run((signal) => this.#load(effect.target, signal));
      case 'Test':
        return this.#run((signal) => this.#test(signal));
      case 'Switch':
        return this.#switch();
      case 'Restore':
        return effect === this.#begun ? undefined : this.#startRestore(effect.target);
      case 'Recover':
        return this.#startRecovery(effect);
      case 'CancelStep':
        return this.#step.cancel();
      case 'DropCandidate':
        return this.#dropCandidate();
      case 'StopServing':
        this.#restore.cancel();
        return this.#options.slot.switchTo(null);
      case 'Collect':
        return this.#options.steps.collect(effect.keep);
      case 'Publish':
        return this.#options.onChange();
    }
  }

  #run(step: (signal: AbortSignal) => Promise<UpdateEvent>): void {
    this.#step.start(async (signal) => {
      try {
        return await this.#timeouts.run(signal, step);
      } catch (error) {
        return { kind: 'StepFailed', failure: failureOf(error) };
      }
    });
  }

  async #download(effect: DownloadEffect, signal: AbortSignal): Promise<UpdateEvent> {
    const onProgress: DownloadContext['onProgress'] = (progress) => {
      if (signal.aborted) return;
      this.#evidence.downloaded(progress);
      this.#options.onProgress();
    };
    const onDelta: DownloadContext['onDelta'] = (report) => {
      if (signal.aborted) return;
      this.#evidence.rebuilt(report);
      this.#options.onChange();
    };
    const { target, keep, loadAhead } = effect;
    const context = { signal, keep, loadAhead, onProgress, onDelta };
    await this.#options.steps.download(target, context);
    return { kind: 'Downloaded' };
  }

  async #verify(target: Target, signal: AbortSignal): Promise<UpdateEvent> {
    const damage = await this.#options.steps.verify(target, { signal });
    return damage === null ? { kind: 'Verified' } : { kind: 'FoundDamaged', message: damage };
  }

  async #load(target: Target, signal: AbortSignal): Promise<UpdateEvent> {
    const model = await this.#options.steps.load(target, { signal });
    if (signal.aborted) {
      model.close();
      throw signal.reason;
    }
    this.#candidate = model;
    return { kind: 'Loaded' };
  }

  async #test(signal: AbortSignal): Promise<UpdateEvent> {
    const model = this.#candidate;
    if (model === null) throw new Error('there is no candidate to test');
    await this.#measureBaseline(signal);
    const result = await this.#options.steps.test(model, { signal, kind: 'Activation' });
    signal.throwIfAborted();
    this.#evidence.tested(result);
    return { kind: 'Tested' };
  }

  /**
   * The model that serves is measured by the same method under the same conditions as the one that
   * is to replace it, unless that was done a moment ago. Without its figures the update goes on.
   */
  async #measureBaseline(signal: AbortSignal): Promise<void> {
    const { slot, steps, log, baselineFreshMs = BASELINE_FRESH_MS } = this.#options;
    const lease = slot.acquire();
    if (lease === null) return;
    try {
      if (this.#evidence.isFresh(lease.model.target, baselineFreshMs)) return;
      this.#evidence.measured(await steps.test(lease.model, { signal, kind: 'Periodic' }));
    } catch (error) {
      signal.throwIfAborted();
      log.warn(`the model that serves could not be measured: ${failureOf(error).message}`);
    } finally {
      lease.release();
    }
  }

  /** Handled in one go: no other event may come between the switch and its place in the journal. */
  async #switch(): Promise<void> {
    const model = this.#candidate;
    this.#candidate = null;
    if (model === null) {
      const failure = { reason: 'Internal', message: 'there is no candidate to activate' };
      return this.#handle({ kind: 'StepFailed', failure });
    }
    this.#options.slot.switchTo(model);
    this.#evidence.activated();
    await this.#handle({ kind: 'Switched' });
  }

  #startRestore(target: Target): void {
    const { steps } = this.#options;
    const load = (signal: AbortSignal) => steps.restore(target, { signal });
    this.#loadAgain({ target, load, ends: { well: 'Restored', badly: 'RestoreFailed' } });
  }

  #startRecovery(effect: RecoverEffect): void {
    const { steps, slot, recoveryMs: firstWaitMs } = this.#options;
    const { target } = effect;
    // Asked once more before the word came that it is back: it serves already.
    const load = async (signal: AbortSignal) =>
      slot.current ?? (await recoverModel({ effect, steps, signal, firstWaitMs }));
    this.#loadAgain({ target, load, ends: { well: 'Recovered', badly: 'RecoverFailed' } });
  }

  #loadAgain(of: {
    target: Target;
    load: (signal: AbortSignal) => Promise<M>;
    ends: { well: 'Restored' | 'Recovered'; badly: 'RestoreFailed' | 'RecoverFailed' };
  }): void {
    const { target, load, ends } = of;
    this.#restore.start(async (signal) => {
      try {
        const model = await load(signal);
        const { slot } = this.#options;
        if (!signal.aborted) slot.switchTo(model);
        else if (slot.current !== model) model.close();
        return { kind: ends.well };
      } catch (error) {
        const failure = failureOf(error);
        const name = `${target.model} ${target.variant}`;
        if (!signal.aborted) {
          this.#options.log.error(`${name} cannot be loaded again: ${failure.message}`);
        }
        return { kind: ends.badly, failure };
      }
    });
  }

  async #dropCandidate(): Promise<void> {
    this.#candidate?.close();
    this.#candidate = null;
    await this.#options.steps.forgetAhead();
  }
}
