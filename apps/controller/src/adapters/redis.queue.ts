import { setTimeout as sleep } from 'node:timers/promises';
import {
  Queue as BullQueue,
  FlowProducer,
  type Job,
  type JobsOptions,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError,
  Worker,
} from 'bullmq';
import { Redis } from 'ioredis';
import { messageOf, Stalled, Waiting } from '../errors.ts';
import type { Log } from './log.ts';
import {
  type ConsumeOptions,
  type EnqueueOptions,
  type Gate,
  type HandledKey,
  type KeyCounts,
  type KeyHandler,
  type KeyOutcome,
  KeyQueue,
} from './queue.ts';

const ATTEMPTS = 8;
const BACKOFF_MS = 1000;
const RECONNECT_MS = { step: 100, last: 2000 };
/** A job whose worker died is taken up again after about lock plus stalled check. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 5000;
const CLOSE_MS = 3000;
const PING_MS = 1000;
/** A command, or BullMQ's longest wait for a job, is answered well before; else nobody is there. */
const SILENCE_MS = 20_000;

const JOB_OPTIONS: JobsOptions = {
  attempts: ATTEMPTS,
  backoff: { type: 'exponential', delay: BACKOFF_MS, jitter: 0.2 },
  removeOnComplete: true,
  removeOnFail: true,
};

/** {@link KeyQueue} over BullMQ and Redis. */
export class RedisKeyQueue extends KeyQueue {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #log: Log;
  readonly #flows: FlowProducer;
  readonly #queues = new Map<string, BullQueue>();
  readonly #workers = new Set<Worker>();
  readonly #pending = new Map<string, { queue: string; key: string; now: boolean }>();
  readonly #onHandled: (key: HandledKey) => void;
  /** Ends the handlers. */
  readonly #release = new AbortController();
  #releasing: Promise<void> | undefined;
  #closing = false;
  readonly #lastErrors = new Map<string, string>();
  #flushing: Promise<void> | undefined;
  #reachable: boolean | undefined;

  constructor(options: {
    url: string;
    prefix: string;
    log: Log;
    onHandled?: (key: HandledKey) => void;
    silenceMs?: number;
  }) {
    super();
    this.#prefix = options.prefix;
    this.#log = options.log;
    this.#onHandled = options.onHandled ?? (() => undefined);
    this.#redis = new Redis(options.url, {
      // BullMQ's blocking commands wait as long as it takes.
      maxRetriesPerRequest: null,
      // A connection whose other end has vanished is given up; commands under way are sent again.
      socketTimeout: options.silenceMs ?? SILENCE_MS,
      retryStrategy: (times) => Math.min(times * RECONNECT_MS.step, RECONNECT_MS.last),
    });
    this.#flows = new FlowProducer({ connection: this.#redis, prefix: this.#prefix });
    this.#flows.on('error', (error) => this.#reportError('flows', error));
    this.#redis.on('error', (error) => this.#setReachable(false, error.message));
    this.#redis.on('close', () => this.#setReachable(false, 'connection closed'));
    this.#redis.on('ready', () => {
      this.#setReachable(true, '');
      this.#flushSoon();
    });
  }

  enqueue(queue: string, key: string, options: EnqueueOptions = {}): void {
    const id = `${queue} ${key}`;
    const now = options.now === true || this.#pending.get(id)?.now === true;
    this.#pending.set(id, { queue, key, now });
    this.#flushSoon();
  }

  consume(queue: string, handler: KeyHandler, options: ConsumeOptions = {}): void {
    if (this.#release.signal.aborted) return;
    const { gate, concurrency } = options;
    const running = new Map<string, Promise<unknown>>();
    const take = async (job: Job, token = ''): Promise<void> => {
      const key: unknown = job.data.key;
      if (typeof key !== 'string') throw new UnrecoverableError('a job without a key');
      const before = await this.#handle({ queue, key, handler, running, gate });
      if (before === 'returned') return this.#giveBack(job, token);
      if (before.length > 0) await this.#comeAgainAfter(job, { queue, key, before, token });
    };
    const start = (isOpen: boolean) =>
      this.#work(queue, { take: isOpen ? take : null, concurrency });
    let worker = start(gate?.isOpen() ?? true);
    gate?.whenChanged(async (isOpen) => {
      if (this.#release.signal.aborted) return this.#releasing;
      const before = worker;
      worker = start(isOpen);
      // It still handles what it has, and takes nothing more.
      await before.close();
      this.#workers.delete(before);
    });
  }

  async ping(): Promise<void> {
    const answer = await this.#ask(() => this.#redis.ping());
    if (answer !== 'PONG') throw new Error(`Redis answered "${answer}"`);
  }

  async counts(queue: string): Promise<KeyCounts> {
    const names = ['waiting', 'active', 'delayed', 'waiting-children', 'failed'] as const;
    const counts = await this.#ask(() => this.#queue(queue).getJobCounts(...names));
    const of = (name: (typeof names)[number]) => counts[name] ?? 0;
    return {
      waiting: of('waiting'),
      active: of('active'),
      delayed: of('delayed'),
      blocked: of('waiting-children'),
      failed: of('failed'),
    };
  }

  release(): Promise<void> {
    this.#releasing ??= this.#releaseKeys();
    return this.#releasing;
  }

  async #releaseKeys(): Promise<void> {
    // In this order a worker does not take the key again that its handler gives back.
    const closed = Promise.all([...this.#workers].map((worker) => worker.close()));
    this.#release.abort();
    await Promise.race([closed.catch(() => undefined), sleep(CLOSE_MS, undefined, { ref: false })]);
  }

  /** Commands to a Redis that is away wait until it is back; whoever asks does not. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    if (this.#redis.status !== 'ready') throw new Error('Redis is not connected');
    const timeout = sleep(PING_MS, undefined, { ref: false }).then(() => {
      throw new Error(`Redis does not answer within ${PING_MS / 1000} s`);
    });
    return Promise.race([question(), timeout]);
  }

  async close(): Promise<void> {
    await this.release();
    this.#closing = true;
    // Without Redis a worker or queue cannot close politely; its keys come back by the sweep.
    const forced = [...this.#workers].map((worker) => worker.close(true));
    const queues = [this.#flows, ...this.#queues.values()].map((queue) => queue.close());
    const all = Promise.allSettled([...forced, ...queues, this.#flushing]);
    await Promise.race([all, sleep(PING_MS, undefined, { ref: false })]);
    this.#redis.disconnect();
  }

  /**
   * Without `take`, a worker only returns the keys of workers that died, so that they are there
   * when a gate opens: noticing that takes longer than one may wait then.
   */
  #work(
    queue: string,
    of: {
      take: ((job: Job, token?: string) => Promise<void>) | null;
      concurrency: number | undefined;
    },
  ): Worker {
    const worker = new Worker(queue, of.take, {
      connection: this.#redis,
      prefix: this.#prefix,
      concurrency: of.concurrency ?? 1,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: ATTEMPTS,
    });
    worker.on('error', (error) => this.#reportError(queue, error));
    this.#workers.add(worker);
    if (of.take === null) void worker.startStalledCheckTimer();
    return worker;
  }

  /**
   * After Redis lost everything, a key can be delivered while it is still being handled. The
   * second delivery waits, then lets the handler look again.
   */
  async #handle(job: {
    queue: string;
    key: string;
    handler: KeyHandler;
    running: Map<string, Promise<unknown>>;
    gate: Gate | undefined;
  }): Promise<readonly string[] | 'returned'> {
    const { queue, key, running, gate } = job;
    while (running.has(key)) await running.get(key)?.catch(() => undefined);
    if (gate?.isOpen() === false) return 'returned';
    const startMs = performance.now();
    const run = job.handler(key, this.#release.signal);
    running.set(key, run);
    let outcome: KeyOutcome = 'handled';
    try {
      return (await run) ?? [];
    } catch (error) {
      if (this.#isInterrupted(error, gate)) {
        outcome = 'returned';
        this.#log.debug('given back', { queue, key, error: messageOf(error) });
        return 'returned';
      }
      outcome = error instanceof Waiting ? 'waiting' : 'failed';
      if (error instanceof Waiting) {
        this.#log.debug('waiting', { queue, key, reason: error.reason, error: error.message });
        return [];
      }
      this.#log.warn('job failed', { queue, key, error: messageOf(error) });
      if (error instanceof Stalled) throw new UnrecoverableError(error.message);
      throw error;
    } finally {
      running.delete(key);
      this.#onHandled({ queue, outcome, seconds: (performance.now() - startMs) / 1000 });
    }
  }

  /** A handler that had to stop has not failed; one that will fail anywhere has. */
  #isInterrupted(error: unknown, gate: Gate | undefined): boolean {
    if (gate?.isOpen() === false) return true;
    if (error instanceof Waiting || error instanceof Stalled) return false;
    return this.#release.signal.aborted;
  }

  /** Another process, which may take keys, takes it at once; no attempt is counted. */
  async #giveBack(job: Job, token: string): Promise<never> {
    await job.moveToWait(token);
    throw new WaitingError();
  }

  /**
   * Makes the keys `before` children of this key's job, which rests until they are done: completed,
   * or failed for good. It keeps its deduplication id meanwhile, so a sweep adds nothing.
   */
  async #comeAgainAfter(
    job: Job,
    {
      queue,
      key,
      before,
      token,
    }: { queue: string; key: string; before: readonly string[]; token: string },
  ): Promise<void> {
    const parent = { id: job.id ?? '', queue: job.queueQualifiedName };
    const children = before.map((child) => ({
      name: 'key',
      queueName: queue,
      data: { key: child },
      // Here a jobId fits, and deduplication does not: while a child of a lost parent still waits
      // or runs, the new parent shall wait for it, which only a repeated jobId brings about. And
      // no wake-up is lost: the parent looks again whatever the child did.
      opts: { ...JOB_OPTIONS, jobId: child, parent, removeDependencyOnFailure: true },
    }));
    await this.#flows.addBulk(children);
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
    // All done already: the key comes again as soon as this run of it is over.
    this.enqueue(queue, key);
  }

  #flushSoon(): void {
    if (this.#flushing !== undefined || this.#closing) return;
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
    });
  }

  async #flush(): Promise<void> {
    // One turn of the event loop gathers the keys of one request or sweep.
    await sleep(0);
    for (const [id, entry] of this.#pending) {
      if (this.#redis.status !== 'ready') return;
      this.#pending.delete(id);
      try {
        await this.#add(entry);
      } catch (error) {
        this.#log.debug('not enqueued', { key: entry.key, error: messageOf(error) });
      }
    }
  }

  async #add(entry: { queue: string; key: string; now: boolean }): Promise<void> {
    // A custom jobId would be ignored while a job with it exists in any state, and a wake-up be
    // lost; deduplication with keepLastIfActive runs an active key once more instead.
    await this.#queue(entry.queue).add(
      'key',
      { key: entry.key },
      {
        ...JOB_OPTIONS,
        deduplication: { id: entry.key, keepLastIfActive: true, replace: entry.now },
      },
    );
  }

  #queue(name: string): BullQueue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = new BullQueue(name, {
      connection: this.#redis,
      prefix: this.#prefix,
      streams: { events: { maxLen: 100 } },
    });
    queue.on('error', (error) => this.#reportError(name, error));
    this.#queues.set(name, queue);
    return queue;
  }

  /** Once for the same message; a lost connection has been reported already. */
  #reportError(queue: string, error: Error): void {
    const isNew = this.#reachable === true && this.#lastErrors.get(queue) !== error.message;
    this.#lastErrors.set(queue, error.message);
    this.#log[isNew ? 'warn' : 'debug']('queue trouble', { queue, error: error.message });
  }

  #setReachable(reachable: boolean, error: string): void {
    if (this.#reachable === reachable || this.#closing) return;
    this.#reachable = reachable;
    if (reachable) this.#log.info('Redis reachable');
    else this.#log.warn('Redis not reachable; jobs wait', { error });
  }
}
