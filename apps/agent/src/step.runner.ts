/**
 * Runs one long step at a time. A cancelled step gives no result any more, and the next one starts
 * only when it has really ended, so that two never work on the same files.
 */
export class StepRunner<Result> {
  readonly #onResult: (result: Result) => void;
  #controller: AbortController | null = null;
  #ended: Promise<void> = Promise.resolve();

  constructor(onResult: (result: Result) => void) {
    this.#onResult = onResult;
  }

  get running(): boolean {
    return this.#controller !== null;
  }

  /**
   * Cancels the step before and starts another.
   *
   * @param step never rejects: its failure is one of its results
   */
  start(step: (signal: AbortSignal) => Promise<Result>): void {
    this.cancel();
    const controller = new AbortController();
    this.#controller = controller;
    this.#ended = this.#ended.then(async () => {
      if (controller.signal.aborted) return;
      const result = await step(controller.signal);
      if (controller.signal.aborted) return;
      this.#controller = null;
      this.#onResult(result);
    });
  }

  cancel(): void {
    this.#controller?.abort(new Error('the step was cancelled'));
    this.#controller = null;
  }

  /** Resolves when nothing runs any more. */
  async idle(): Promise<void> {
    await this.#ended;
  }
}
