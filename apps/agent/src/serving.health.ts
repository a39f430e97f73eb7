import { type Failure, failureOf } from './errors.ts';

/** A model that fails so many requests in a row does not answer any more. */
export const SERVING_FAILURES_MAX = 3;

/** What a request cannot cause by itself. */
const FAULTS: ReadonlySet<string> = new Set([
  'NonFiniteLogits',
  'NativeFailure',
  'OutOfMemory',
  'FingerprintMismatch',
  'Internal',
]);

/** Counts what goes wrong with the model that serves, and tells when it is more than bad luck. */
export class ServingHealth {
  readonly #onFailing: (failure: Failure) => void;
  #model: unknown = null;
  #failures = 0;

  constructor(onFailing: (failure: Failure) => void) {
    this.#onFailing = onFailing;
  }

  succeeded(model: unknown): void {
    this.#about(model);
    this.#failures = 0;
  }

  /** Failures that the request has caused do not count. */
  failed(model: unknown, error: unknown): void {
    const { reason, message } = failureOf(error);
    if (!FAULTS.has(reason)) return;
    this.#about(model);
    this.#failures++;
    if (this.#failures < SERVING_FAILURES_MAX) return;
    this.#failures = 0;
    const text = `${SERVING_FAILURES_MAX} requests in a row failed: ${reason}: ${message}`;
    this.#onFailing({ reason: 'ServingFailed', message: text.slice(0, 2000) });
  }

  #about(model: unknown): void {
    if (this.#model === model) return;
    this.#model = model;
    this.#failures = 0;
  }
}
