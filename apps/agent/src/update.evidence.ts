import type { Phase, Report } from '@entrofleet/protocol';
import { type Evidence, NO_EVIDENCE } from './update.journal.ts';
import type { Situation } from './update.states.ts';
import type { SelfTestResult } from './update.steps.ts';

/**
 * What was measured on the way of an update. It is kept beside the situation because it decides
 * nothing; the candidate's figures become the active model's when it is activated.
 */
export class UpdateEvidence {
  #evidence: Evidence;
  #tested: SelfTestResult | null = null;
  #enteredMs: number;
  readonly #nowMs: () => number;

  constructor(evidence: Evidence, nowMs: () => number = () => performance.now()) {
    this.#evidence = evidence;
    this.#nowMs = nowMs;
    this.#enteredMs = nowMs();
  }

  get current(): Evidence {
    return this.#evidence;
  }

  /** Follows the situation: time goes to the state it was spent in. */
  moved(from: Situation, to: Situation): void {
    if (isNewUpdate(from, to)) {
      this.#tested = null;
      const { measurement, sample } = this.#evidence;
      this.#evidence = { ...NO_EVIDENCE, measurement, sample };
      this.#enteredMs = this.#nowMs();
    } else if (from.state !== to.state) {
      this.#spend(from.state);
    }
    if (to.active === null) this.#evidence = { ...this.#evidence, measurement: null, sample: null };
  }

  downloaded(progress: NonNullable<Report['download']>): void {
    this.#evidence = { ...this.#evidence, download: progress };
  }

  /** The candidate has passed its self-test. */
  tested(result: SelfTestResult): void {
    this.#tested = result;
  }

  /** The candidate serves now. */
  activated(): void {
    if (this.#tested !== null) this.measured(this.#tested);
    this.#tested = null;
  }

  measured(result: SelfTestResult): void {
    this.#evidence = { ...this.#evidence, ...result };
  }

  #spend(state: Phase): void {
    const nowMs = this.#nowMs();
    const spent = (this.#evidence.phaseSeconds[state] ?? 0) + (nowMs - this.#enteredMs) / 1000;
    this.#enteredMs = nowMs;
    // Resting states are not phases of an update; they last for ever.
    if (state === 'Idle' || state === 'Active' || state === 'Failed') return;
    const phaseSeconds = { ...this.#evidence.phaseSeconds, [state]: spent };
    this.#evidence = { ...this.#evidence, phaseSeconds };
  }
}

/** A target was set, or set again, that is to be fetched from the start. */
function isNewUpdate(from: Situation, to: Situation): boolean {
  return to.state === 'Downloading' && from.desired !== to.desired;
}
