import type { Phase, Timeouts } from '@entrofleet/protocol';
import type { Failure } from './errors.ts';
import { StepDeadline } from './step.deadline.ts';
import type { Situation } from './update.states.ts';

interface TimedStep {
  readonly name: string;
  readonly limit: keyof Timeouts;
}

/** Activating is one assignment: there is nothing in it that could take time. */
const STEPS: Readonly<Partial<Record<Phase, TimedStep>>> = {
  Downloading: { name: 'Download', limit: 'downloadSeconds' },
  Verifying: { name: 'Verify', limit: 'verifySeconds' },
  Decoding: { name: 'Decode', limit: 'decodeSeconds' },
  Testing: { name: 'Test', limit: 'testSeconds' },
};

export interface StepTimeoutsOptions {
  /** The situation of the moment: the controller may change limits while a step runs. */
  readonly situation: () => Situation;
  /** Whether the broker can be reached; a download that cannot go on is not slow. */
  readonly isOnline: () => boolean;
}

/** Holds each step of an update to the time that the desired state gives it. */
export class StepTimeouts {
  readonly #options: StepTimeoutsOptions;
  readonly #spentMs = new Map<Phase, number>();

  constructor(options: StepTimeoutsOptions) {
    this.#options = options;
  }

  /** A new update: no step of it has taken any time. */
  reset(): void {
    this.#spentMs.clear();
  }

  /**
   * Runs the step that belongs to the state of the moment. A step that was held goes on with the
   * time it has left.
   * @throws what the step throws, or {@link TimedOut} once the step has ended for that reason.
   */
  async run<Result>(
    cancelled: AbortSignal,
    step: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { state } = this.#options.situation();
    const { isOnline } = this.#options;
    const deadline = new StepDeadline({
      limitMs: () => this.#limitMs(state),
      counts: () => state !== 'Downloading' || isOnline(),
      spentMs: this.#spentMs.get(state) ?? 0,
    });
    try {
      return await step(AbortSignal.any([cancelled, deadline.signal]));
    } catch (error) {
      const isLate = deadline.signal.aborted && !cancelled.aborted;
      throw isLate ? new TimedOut(state, deadline.spentMs) : error;
    } finally {
      deadline.stop();
      this.#spentMs.set(state, deadline.spentMs);
    }
  }

  #limitMs(state: Phase): number | null {
    const step = STEPS[state];
    const timeouts = this.#options.situation().desired?.timeouts;
    const seconds = step === undefined ? null : (timeouts?.[step.limit] ?? null);
    return seconds === null ? null : seconds * 1000;
  }
}

/** A step was ended because it took longer than the controller allows. */
export class TimedOut extends Error implements Failure {
  readonly reason: string;

  constructor(state: Phase, spentMs: number) {
    const name = STEPS[state]?.name ?? state;
    const seconds = (spentMs / 1000).toFixed(0);
    const limit = STEPS[state]?.limit ?? 'wholeSeconds';
    super(`${state} has taken ${seconds} s, longer than strategy.timeouts.${limit} allows`);
    this.name = 'TimedOut';
    this.reason = `${name}TimedOut`;
  }
}
