import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../adapters/log.ts';
import { messageOf } from '../errors.ts';
import type { KubeClient, ResourceName } from './kube.client.ts';
import type { KubeObject } from './kube.object.ts';
import { type ChangeType, ObjectCache, type ObjectChange } from './object.cache.ts';
import {
  afterOutcome,
  NEW_WATCH,
  nextWatchStep,
  type WatchOutcome,
  type WatchState,
  type WatchStep,
  type WatchTiming,
} from './watch.plan.ts';
import { followWatch } from './watch.stream.ts';

export type { ChangeType };

/**
 * Both are called one after the other, never two at once, in the order of the API server. They
 * return at once, having noted what is to be done: the watch does not wait for a promise. What they
 * throw is logged and stops nothing.
 */
export interface WatchHandlers {
  /**
   * After every list: the first, each resync and each relist. What it brought was reported to
   * `onChange` just before: objects that went away while nobody watched as Deleted, in their last
   * known form, then new and changed ones as Added and Modified.
   */
  onSync(objects: readonly KubeObject[]): void;
  /** One object was made, changed (its status too) or removed. Duplicates are left out. */
  onChange(type: ChangeType, object: KubeObject): void;
}

export interface WatchCounters {
  readonly lists: number;
  /** Watches that were started, the first one included. */
  readonly watches: number;
  /** Watches that were given up because nothing was heard, not even a bookmark. */
  readonly stalls: number;
  /** Lists and watches that failed, the latter also for history that was gone. */
  readonly failures: number;
  /** Objects and events that could not be read as such. */
  readonly malformed: number;
}

/**
 * Well over the minute after which an API server sends a bookmark. One that has nothing to say is
 * silent too (it sends no bookmark before the first event since its start): then a watch is replaced
 * in vain, which costs it one request.
 */
const SILENCE_MS = 75_000;
const BACKOFF = { firstBackoffMs: 500, lastBackoffMs: 30_000, failuresToList: 5 };

export interface ResourceWatchOptions {
  readonly resource: ResourceName;
  readonly resyncMs: number;
  readonly log: Log;
  readonly silenceMs?: number;
  readonly backoff?: Omit<WatchTiming, 'resyncMs'>;
}

/**
 * Follows all objects of one resource and keeps a cache of them by name, until it is stopped:
 * whatever fails is tried again, and a watch that falls silent is replaced. A watch for every
 * resync period begins with a list, so that nothing is missed for longer.
 */
export class ResourceWatch {
  readonly #client: KubeClient;
  readonly #resource: ResourceName;
  readonly #log: Log;
  readonly #silenceMs: number;
  readonly #timing: WatchTiming;
  readonly #cache = new ObjectCache();
  readonly #counters = { lists: 0, watches: 0, stalls: 0, failures: 0, malformed: 0 };
  #lastProblem = '';
  #isSynced = false;
  #abort: AbortController | undefined;
  #running: Promise<void> | undefined;

  constructor(client: KubeClient, options: ResourceWatchOptions) {
    this.#client = client;
    this.#resource = options.resource;
    this.#log = options.log;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
    this.#timing = { resyncMs: options.resyncMs, ...(options.backoff ?? BACKOFF) };
  }

  start(handlers: WatchHandlers): void {
    if (this.#abort !== undefined) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.#running = this.#run(handlers, abort.signal);
  }

  /** No handler is called once this has resolved. It can be started again. */
  async stop(): Promise<void> {
    this.#abort?.abort();
    await this.#running;
    this.#abort = undefined;
    this.#isSynced = false;
  }

  /** Whether the cache has been filled since the start. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  get counters(): WatchCounters {
    return { ...this.#counters };
  }

  /** As last heard. */
  find(name: string): KubeObject | undefined {
    return this.#cache.find(name);
  }

  get objects(): readonly KubeObject[] {
    return this.#cache.objects;
  }

  async #run(handlers: WatchHandlers, signal: AbortSignal): Promise<void> {
    let state: WatchState = NEW_WATCH;
    const now = () => ({ nowMs: performance.now(), timing: this.#timing });
    while (!signal.aborted) {
      const step = nextWatchStep(state, { ...now(), jitter: Math.random() });
      await sleep(step.delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const outcome =
        step.kind === 'List'
          ? await this.#list(handlers, signal)
          : await this.#watch(step, handlers, signal);
      state = afterOutcome(state, outcome, now());
    }
  }

  async #list(handlers: WatchHandlers, signal: AbortSignal): Promise<WatchOutcome> {
    this.#counters.lists++;
    try {
      const list = await this.#client.list(this.#resource);
      if (signal.aborted) return { kind: 'ListFailed' };
      for (const problem of list.malformed) this.#reportMalformed(problem);
      this.#tell(handlers, this.#cache.replaceAll(list.objects));
      this.#isSynced = true;
      this.#guarded(() => handlers.onSync(this.#cache.objects));
      return { kind: 'Listed', resourceVersion: list.resourceVersion };
    } catch (error) {
      if (!signal.aborted) this.#reportFailure('list', messageOf(error));
      return { kind: 'ListFailed' };
    }
  }

  async #watch(
    step: Extract<WatchStep, { kind: 'Watch' }>,
    handlers: WatchHandlers,
    stop: AbortSignal,
  ): Promise<WatchOutcome> {
    const { resourceVersion, lifeMs } = step;
    this.#counters.watches++;
    const { outcome, problem } = await followWatch({
      resourceVersion,
      lifeMs,
      silenceMs: this.#silenceMs,
      stop,
      open: (signal) =>
        this.#client.watch(this.#resource, {
          resourceVersion,
          timeoutSeconds: Math.ceil(lifeMs / 1000),
          signal,
        }),
      onEvent: (event) => {
        this.#lastProblem = '';
        if (event.kind === 'Malformed') this.#reportMalformed(event.problem);
        if (event.kind !== 'Object') return;
        const change = event.isDeleted ? 'hearDeleted' : 'hear';
        this.#tell(handlers, this.#cache[change](event.object));
      },
    });
    if (outcome.kind === 'Silent') this.#counters.stalls++;
    if (problem !== undefined && !stop.aborted) this.#reportFailure('watch', problem);
    return outcome;
  }

  #tell(handlers: WatchHandlers, changes: readonly ObjectChange[]): void {
    for (const { type, object } of changes) {
      this.#guarded(() => handlers.onChange(type, object));
    }
  }

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      const { plural } = this.#resource;
      this.#log.error('handler of a watch failed', { resource: plural, error: messageOf(error) });
    }
  }

  /** Once for the same problem, until something is heard again. */
  #reportFailure(call: 'list' | 'watch', problem: string): void {
    this.#counters.failures++;
    const level = this.#lastProblem === problem ? 'debug' : 'warn';
    this.#lastProblem = problem;
    const { plural } = this.#resource;
    this.#log[level]('cannot follow a resource', { resource: plural, call, error: problem });
  }

  #reportMalformed(problem: string): void {
    this.#counters.malformed++;
    this.#log.warn('malformed object left out', { resource: this.#resource.plural, problem });
  }
}
