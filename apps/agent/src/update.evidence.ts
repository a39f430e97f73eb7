import type { Measurement, Phase, Target } from '@entrofleet/protocol';
import type { DeltaReport } from './delta.download.ts';
import type { DownloadProgress } from './download.ts';
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
  #measuredMs = Number.NEGATIVE_INFINITY;
  readonly #nowMs: () => number;
  readonly #now: () => Date;

  constructor(
    evidence: Evidence,
    clock: { readonly nowMs?: () => number; readonly now?: () => Date } = {},
  ) {
    this.#evidence = evidence;
    this.#nowMs = clock.nowMs ?? (() => performance.now());
    this.#now = clock.now ?? (() => new Date());
    this.#enteredMs = this.#nowMs();
  }

  get current(): Evidence {
    return this.#evidence;
  }

  /** Follows the situation: time goes to the state it was spent in. */
  moved(from: Situation, to: Situation): void {
    if (isNewUpdate(from, to)) {
      this.#tested = null;
      const { measurement, baseline, sample, linkBytesPerSecond } = this.#evidence;
      const kept = { measurement, baseline, sample, linkBytesPerSecond };
      this.#evidence = { ...NO_EVIDENCE, ...kept };
      this.#enteredMs = this.#nowMs();
    } else if (from.state !== to.state) {
      this.#spend(from.state);
    }
    if (to.rolledBack !== from.rolledBack) {
      const rolledBackAt = to.rolledBack === null ? null : this.#now().toISOString();
      this.#evidence = { ...this.#evidence, rolledBackAt };
    }
    if (to.active?.artifact.id !== from.active?.artifact.id) this.#follow(to.active);
  }

  downloaded({ linkBytesPerSecond, ...download }: DownloadProgress): void {
    const link = linkBytesPerSecond ?? this.#evidence.linkBytesPerSecond;
    this.#evidence = { ...this.#evidence, download, linkBytesPerSecond: link };
  }

  /** Whether a delta has saved the download, or why not. */
  rebuilt(delta: DeltaReport): void {
    this.#evidence = { ...this.#evidence, delta };
  }

  /** The candidate has passed its self-test. */
  tested(result: SelfTestResult): void {
    this.#tested = result;
  }

  /** The candidate serves now; what it replaces is what it is compared with. */
  activated(): void {
    const before = this.#evidence.measurement;
    if (this.#tested !== null) this.measured(this.#tested);
    const isOther = before?.artifactId !== this.#evidence.measurement?.artifactId;
    if (isOther) this.#evidence = { ...this.#evidence, baseline: before };
    this.#tested = null;
  }

  measured(result: SelfTestResult): void {
    this.#evidence = { ...this.#evidence, ...result };
    this.#measuredMs = this.#nowMs();
  }

  /** Whether the target has been measured in this process, and not longer ago than that. */
  isFresh(target: Target, withinMs: number): boolean {
    const isSame = this.#evidence.measurement?.artifactId === target.artifact.id;
    return isSame && this.#nowMs() - this.#measuredMs <= withinMs;
  }

  /** Figures belong to a model: when another one is active, they do not tell of it. */
  #follow(active: Situation['active']): void {
    const { measurement, baseline, sample } = this.#evidence;
    const isOf = (figures: Measurement | null) => figures?.artifactId === active?.artifact.id;
    if (active !== null && isOf(measurement)) return;
    this.#evidence = {
      ...this.#evidence,
      measurement: active !== null && isOf(baseline) ? baseline : null,
      baseline: null,
      sample: active !== null && isOf(measurement) ? sample : null,
    };
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

/**
 * A target was set, or set again, that is to be fetched from the start. One that was only held, let
 * go or found damaged on the disk is the same update still.
 */
export function isNewUpdate(from: Situation, to: Situation): boolean {
  if (to.state !== 'Downloading' || from.desired === to.desired) return false;
  const isSame = from.desired?.target?.artifact.id === to.desired?.target?.artifact.id;
  return from.state !== 'Downloading' || !isSame;
}
