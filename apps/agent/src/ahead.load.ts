import type { Target } from '@entrofleet/protocol';
import { failureOf } from './errors.ts';
import type { Log } from './log.ts';
import type { HeldModel } from './serve/served.model.ts';

interface Loading<M> {
  readonly target: Target;
  readonly controller: AbortController;
  /** null: it has failed, or was cancelled. */
  readonly model: Promise<M | null>;
}

/**
 * A model that is loaded while its artifact is still being fetched. It is only a cache: whoever
 * wants the model takes it over when it is about the same target, and loads it anew otherwise.
 */
export class AheadLoad<M extends HeldModel> {
  readonly #log: Log;
  #loading: Loading<M> | null = null;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Drops what was loaded before and starts, once its memory has been given back. */
  begin(target: Target, load: (signal: AbortSignal) => Promise<M>): void {
    void this.drop();
    const controller = new AbortController();
    const model = this.#ended.then(() => this.#attempt(target, { load, controller }));
    this.#loading = { target, controller, model };
    this.#ended = model;
  }

  /**
   * Hands the model over once it is loaded.
   * @returns null when there is none for this target: nothing was begun, or it has failed.
   * @throws the signal's reason; the model is dropped then.
   */
  async take(target: Target, signal: AbortSignal): Promise<M | null> {
    const loading = this.#loading;
    if (loading === null || !isSameLoad(loading.target, target)) {
      await this.drop();
      return null;
    }
    const cancel = () => loading.controller.abort(signal.reason);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const model = await loading.model;
      signal.throwIfAborted();
      if (model !== null) model.target = target;
      this.#loading = null;
      return model;
    } finally {
      signal.removeEventListener('abort', cancel);
      if (signal.aborted) await this.drop();
    }
  }

  /** Forgets it; resolves when nothing of it is left. */
  async drop(): Promise<void> {
    const loading = this.#loading;
    this.#loading = null;
    if (loading !== null) {
      loading.controller.abort(new Error('what was loaded ahead is not wanted any more'));
      this.#ended = loading.model.then((model) => model?.close());
    }
    await this.#ended;
  }

  async #attempt(
    target: Target,
    use: { load: (signal: AbortSignal) => Promise<M>; controller: AbortController },
  ): Promise<M | null> {
    const { signal } = use.controller;
    if (signal.aborted) return null;
    try {
      return await use.load(signal);
    } catch (error) {
      const { reason, message } = failureOf(error);
      const name = `${target.model} ${target.variant}`;
      if (!signal.aborted) {
        this.#log.info(`${name} is not loaded while it is fetched: ${reason}: ${message}`);
      }
      return null;
    }
  }
}

/** Loading depends on these alone; the rest of a target is about what comes after it. */
function isSameLoad(a: Target, b: Target): boolean {
  return (
    a.artifact.id === b.artifact.id &&
    a.contextLength === b.contextLength &&
    a.kvCacheBytes === b.kvCacheBytes
  );
}
