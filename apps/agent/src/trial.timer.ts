import type { Situation } from './update.states.ts';

/** Measures how long a new model has served without the process ending, by a monotonic clock. */
export class TrialTimer {
  readonly #trialMs: number;
  readonly #onPassed: () => void;
  #timer: NodeJS.Timeout | undefined;
  #artifactId: string | null = null;

  constructor(use: { readonly trialMs: number; readonly onPassed: () => void }) {
    this.#trialMs = use.trialMs;
    this.#onPassed = use.onPassed;
  }

  /** Follows the situation: a trial begins when its model serves, in every process anew. */
  follow({ trial, restoring, active }: Situation): void {
    const artifactId = trial === null || restoring ? null : (active?.artifact.id ?? null);
    if (artifactId === this.#artifactId) return;
    this.stop();
    this.#artifactId = artifactId;
    if (artifactId === null) return;
    this.#timer = setTimeout(this.#onPassed, this.#trialMs);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#artifactId = null;
  }
}
