import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../adapters/log.ts';
import { messageOf } from '../errors.ts';
import type { KubeClient } from './kube.client.ts';
import { KubeAlreadyExists, KubeConflict, KubeNotFound } from './kube.error.ts';
import { Leadership, type LeadershipListener } from './leadership.ts';
import {
  afterFailure,
  afterRead,
  afterWrite,
  beforeWrite,
  type LeaseStep,
  type LeaseTiming,
  type LeaseView,
  leaseTiming,
  mayActUntilMs,
  newLeaseView,
  nextLeaseStep,
  releaseStep,
} from './lease.plan.ts';

/** So long at most do listeners finish what they are at before the Lease is given back. */
const GRACE_MS = 5000;

type LeaseCalls = Pick<KubeClient, 'getLease' | 'createLease' | 'replaceLease'>;

export interface ElectionOptions {
  readonly client: LeaseCalls;
  /** Name of the Lease. */
  readonly lease: string;
  /** Unlike that of every other process, ever. */
  readonly identity: string;
  readonly durationMs: number;
  readonly log: Log;
}

export interface ElectionCounters {
  /** How often this process became leader. */
  readonly terms: number;
  readonly renewals: number;
  /** Calls to the API server that failed. */
  readonly failures: number;
}

/** {@link Leadership} of the process that holds a Lease of Kubernetes; see `lease.plan.ts`. */
export class LeaderElection extends Leadership {
  readonly #options: ElectionOptions;
  readonly #timing: LeaseTiming;
  readonly #listeners = new Set<LeadershipListener>();
  readonly #stop = new AbortController();
  readonly #counters = { terms: 0, renewals: 0, failures: 0 };
  #view: LeaseView;
  /** By the wall clock, which goes on while a machine sleeps; the monotonic one does not. */
  #wallUntilMs = 0;
  #told = false;
  #expiry: NodeJS.Timeout | undefined;
  #writes = 0;
  #lastError = '';
  #running: Promise<void> | undefined;
  #resigning: Promise<void> | undefined;
  /** What the listeners do about the last change. */
  #telling: Promise<void> = Promise.resolve();

  constructor(options: ElectionOptions) {
    super();
    this.#options = options;
    this.#timing = leaseTiming(options.durationMs);
    this.#view = newLeaseView(options.identity);
  }

  isLeader(): boolean {
    const untilMs = mayActUntilMs(this.#view, this.#timing) ?? 0;
    const isInTime = performance.now() < untilMs && Date.now() < this.#wallUntilMs;
    return isInTime && !this.#stop.signal.aborted;
  }

  whenChanged(listener: LeadershipListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get counters(): ElectionCounters {
    return { ...this.#counters };
  }

  /** Who holds the Lease, as last seen; empty: nobody. */
  get holder(): string {
    return this.#view.lease?.holderIdentity ?? '';
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Gives the Lease back, so that another replica need not wait for its end. */
  resign(): Promise<void> {
    this.#resigning ??= this.#resign();
    return this.#resigning;
  }

  async #resign(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#expiry);
    const grace = sleep(GRACE_MS, undefined, { ref: false });
    this.#tellNow();
    await Promise.race([this.#telling, grace]);
    await this.#running;
    await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const nowMs = performance.now();
      const now = { nowMs, wallTime: this.#wallTime(), timing: this.#timing };
      const step = nextLeaseStep(this.#view, now);
      if (step.kind === 'Wait') {
        const waitMs = Math.max(1, step.untilMs - nowMs);
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      } else if (step.kind === 'Read') await this.#read();
      else await this.#write(step);
      this.#tellSoon();
    }
  }

  async #read(): Promise<void> {
    const { client, lease: name } = this.#options;
    const { deadlineMs } = this.#timing;
    const sentMs = performance.now();
    const holder = this.holder;
    try {
      const lease = await client.getLease(name, { deadlineMs });
      this.#view = afterRead(this.#view, lease, {
        nowMs: performance.now(),
        timing: this.#timing,
      });
      this.#lastError = '';
    } catch (error) {
      this.#onFailure(error, sentMs, false);
    }
    if (this.holder !== holder) this.#options.log.info('lease seen', { name, holder: this.holder });
  }

  async #write(step: Extract<LeaseStep, { kind: 'Write' }>): Promise<void> {
    const { client, lease: name } = this.#options;
    const timing = this.#timing;
    const { deadlineMs } = timing;
    const { seen, record } = step;
    const wallMs = Date.now();
    const sentMs = performance.now();
    this.#view = beforeWrite(this.#view, record);
    try {
      const lease =
        seen === undefined
          ? await client.createLease(name, record, { deadlineMs })
          : await client.replaceLease(name, seen, record, { deadlineMs });
      this.#view = afterWrite(this.#view, lease, { sentMs, timing });
      this.#wallUntilMs = wallMs + timing.durationMs - timing.marginMs;
      this.#counters.renewals++;
      this.#lastError = '';
    } catch (error) {
      // Without its namespace a lease cannot be made, and looking again helps nothing.
      const isConflict =
        error instanceof KubeConflict ||
        error instanceof KubeAlreadyExists ||
        (error instanceof KubeNotFound && seen !== undefined);
      this.#onFailure(error, sentMs, isConflict);
    }
  }

  async #release(): Promise<void> {
    const { client, lease: name, log } = this.#options;
    // The fate of the last write may be unknown; what is released is what is there.
    if (this.#view.writeAtMs === Number.POSITIVE_INFINITY) await this.#read();
    const step = releaseStep(this.#view, this.#wallTime());
    if (step?.seen === undefined) return;
    try {
      const { deadlineMs } = this.#timing;
      await client.replaceLease(name, step.seen, step.record, { deadlineMs });
      log.info('lease given back', { name });
    } catch (error) {
      log.warn('lease not given back; it runs out', { name, error: messageOf(error) });
    }
  }

  /** Once for the same error. */
  #onFailure(error: unknown, sentMs: number, isConflict: boolean): void {
    const nowMs = performance.now();
    this.#view = afterFailure(this.#view, { sentMs, nowMs, isConflict, timing: this.#timing });
    if (isConflict) return;
    this.#counters.failures++;
    const message = messageOf(error);
    const level = this.#lastError === message ? 'debug' : 'warn';
    this.#lastError = message;
    this.#options.log[level]('lease not reached', { name: this.#options.lease, error: message });
  }

  #tellSoon(): void {
    clearTimeout(this.#expiry);
    const untilMs = mayActUntilMs(this.#view, this.#timing);
    if (untilMs !== undefined && this.isLeader()) {
      const leftMs = Math.max(1, untilMs - performance.now());
      this.#expiry = setTimeout(() => this.#tellSoon(), leftMs);
    }
    this.#tellNow();
  }

  #tellNow(): void {
    const isLeader = this.isLeader();
    if (isLeader === this.#told) return;
    this.#told = isLeader;
    if (isLeader) this.#counters.terms++;
    this.#telling = this.#tell(isLeader);
  }

  /** Resolves when every listener is done with what it had to do; it never rejects. */
  async #tell(isLeader: boolean): Promise<void> {
    const { lease: name, identity, log } = this.#options;
    log.info(isLeader ? 'leading' : 'not leading any more', { lease: name, identity });
    const calls = [...this.#listeners].map(async (listener) => listener(isLeader));
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'fulfilled') continue;
      log.error('listener of the leadership failed', { error: messageOf(result.reason) });
    }
  }

  /** MicroTime of meta/v1: six digits of the second, of which the last three tell writes apart. */
  #wallTime(): string {
    this.#writes = (this.#writes + 1) % 1000;
    const digits = String(this.#writes).padStart(3, '0');
    return `${new Date().toISOString().slice(0, -1)}${digits}Z`;
  }
}
