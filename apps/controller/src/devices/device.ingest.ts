import { setTimeout as sleep } from 'node:timers/promises';
import { topics } from '@entrofleet/protocol';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { Metrics } from '../adapters/metrics.ts';
import { MessageBus } from '../adapters/mqtt.ts';
import { CONFIG, type Config } from '../config.ts';
import { messageOf } from '../errors.ts';
import { RolloutWakeups } from '../rollouts/rollout.wakeups.ts';
import type { Heard } from './device.intake.ts';
import { BadMessage, type DeviceMessage, readDeviceMessage } from './device.messages.ts';
import { isNewer } from './device.plan.ts';
import { DeviceRecorder } from './device.recorder.ts';
import { IngestMetrics } from './ingest.metrics.ts';

/** Messages within this time are written together, */
const BATCH_MS = 100;
/** unless so many devices are waiting, which the broker may not send more than. */
const BATCH_EARLY = 100;
/** Devices written at once. */
const BATCH_MAX = 500;
const RETRY_MS = 1000;
/** Devices whose bad messages are remembered, so that each is logged once and not for ever. */
const COMPLAINTS_MAX = 1000;

/** What was heard of a device and is not stored yet. */
interface Pending extends Heard {
  /** Acknowledges the messages that `report` and `presence` are from. */
  readonly acknowledge: { report?: () => void; presence?: () => void };
}

/**
 * Takes in what devices say, in processes with the role `reconciler`. A message is acknowledged
 * when what it says is stored, or when a newer one of the same device says it better, so the bound
 * on unacknowledged messages bounds what waits here.
 */
@Injectable()
export class DeviceIngest implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #pending = new Map<string, Pending>();
  readonly #complaints = new Map<string, string>();
  readonly #metrics: IngestMetrics;
  #flushing: Promise<void> | undefined;
  #hurry = Promise.withResolvers<void>();
  #stopped = false;
  #listeningSinceMs: number | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(DeviceRecorder) private readonly recorder: DeviceRecorder,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(MessageBus) private readonly bus: MessageBus,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
    @Inject(Metrics) metrics: Metrics,
  ) {
    this.#metrics = new IngestMetrics(metrics, () => this.#pending.size);
  }

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('reconciler')) return;
    this.bus.onConnected(() => {
      this.#listeningSinceMs = this.clock.now().getTime();
    });
    for (const filter of [topics.everyReport, topics.everyPresence]) {
      this.bus.subscribe(filter, (topic, payload) => this.take(topic, payload));
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.#stopped = true;
    this.#hurry.resolve();
    await this.#flushing;
  }

  /** Since when everything devices say has been heard, or `undefined` while it is not. */
  get listeningSinceMs(): number | undefined {
    return this.bus.connected ? this.#listeningSinceMs : undefined;
  }

  /**
   * A bad message is logged with its device and dropped.
   * @returns a promise that resolves when the message may be acknowledged, `undefined`: at once.
   */
  take(topic: string, payload: Uint8Array): Promise<void> | undefined {
    try {
      const heard = readDeviceMessage(topic, payload);
      return heard === undefined ? undefined : this.#wait(heard);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.#complain(topic, error);
      return undefined;
    }
  }

  #wait(heard: DeviceMessage): Promise<void> | undefined {
    const { kind, message } = heard;
    this.#metrics.heard(kind);
    const known = this.#pending.get(message.device) ?? { reports: 0, acknowledge: {} };
    if (kind === 'report' && !isNewer(message, known.report ?? null)) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    known.acknowledge[kind]?.();
    const reports = known.reports + (kind === 'report' ? 1 : 0);
    const acknowledge = { ...known.acknowledge, [kind]: resolve };
    this.#pending.set(message.device, { ...known, reports, [kind]: message, acknowledge });
    if (this.#pending.size >= BATCH_EARLY) this.#hurry.resolve();
    this.#flushSoon(BATCH_MS);
    return promise;
  }

  #complain(topic: string, error: BadMessage): void {
    this.#metrics.dropped();
    if (this.#complaints.get(topic) === error.message) return;
    if (this.#complaints.size >= COMPLAINTS_MAX) this.#complaints.clear();
    this.#complaints.set(topic, error.message);
    this.log.warn('message dropped', { device: error.device, topic, error: error.message });
  }

  #flushSoon(delayMs: number): void {
    if (this.#flushing !== undefined || this.#stopped) return;
    this.#flushing = this.#flush(delayMs).then((isStored) => {
      this.#flushing = undefined;
      if (this.#pending.size > 0) this.#flushSoon(isStored ? BATCH_MS : RETRY_MS);
    });
  }

  /** @returns false when the database did not take everything. */
  async #flush(delayMs: number): Promise<boolean> {
    const pause = delayMs === BATCH_MS ? this.#hurry.promise : new Promise<never>(() => undefined);
    await Promise.race([sleep(delayMs), pause]);
    this.#hurry = Promise.withResolvers();
    const batch = new Map([...this.#pending].slice(0, BATCH_MAX));
    for (const name of batch.keys()) this.#pending.delete(name);
    if (this.#pending.size >= BATCH_EARLY) this.#hurry.resolve();
    const left = new Set(batch.keys());
    try {
      const stored = await this.recorder.store(batch);
      for (const name of stored.done) left.delete(name);
      await this.wakeups.wake(stored.changed);
    } catch (error) {
      this.log.debug('reports not stored', { devices: left.size, error: messageOf(error) });
    }
    for (const [name, pending] of batch) {
      if (left.has(name)) this.#putBack(name, pending);
      else for (const done of Object.values(pending.acknowledge)) done();
    }
    return left.size === 0;
  }

  /** What came meanwhile is newer. */
  #putBack(name: string, before: Pending): void {
    const newer = this.#pending.get(name);
    if (newer?.report !== undefined) before.acknowledge.report?.();
    if (newer?.presence !== undefined) before.acknowledge.presence?.();
    this.#pending.set(name, {
      ...before,
      ...newer,
      reports: before.reports + (newer?.reports ?? 0),
      acknowledge: { ...before.acknowledge, ...newer?.acknowledge },
    });
  }
}
