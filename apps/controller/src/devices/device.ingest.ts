import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Device,
  type DeviceStatus,
  deviceSpecSchema,
  type Presence,
  type Report,
  topics,
} from '@entrofleet/protocol';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { MessageBus } from '../adapters/mqtt.ts';
import { CONFIG, type Config } from '../config.ts';
import { Conflict, messageOf } from '../errors.ts';
import { RolloutWakeups } from '../rollouts/rollout.wakeups.ts';
import { BadMessage, readDeviceMessage } from './device.messages.ts';
import {
  effectiveLabels,
  isNewer,
  UNKNOWN_STATUS,
  withPresence,
  withReport,
} from './device.plan.ts';
import { DeviceStore } from './device.store.ts';

/** Reports of one device within this time are written once. */
const BATCH_MS = 50;
const RETRY_MS = 1000;
/** Devices whose messages may wait for a database that is away. */
const PENDING_MAX = 100_000;
/** Devices whose bad messages are remembered, so that each is logged once and not for ever. */
const COMPLAINTS_MAX = 1000;

interface Heard {
  readonly report?: Report;
  readonly presence?: Presence;
}

/** Takes in what devices say, in processes with the role `reconciler`. */
@Injectable()
export class DeviceIngest implements OnApplicationBootstrap, OnModuleDestroy {
  #pending = new Map<string, Heard>();
  readonly #complaints = new Map<string, string>();
  #flushing: Promise<void> | undefined;
  #stopped = false;
  #listeningSinceMs: number | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(MessageBus) private readonly bus: MessageBus,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

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
    await this.#flushing;
  }

  /** Since when everything devices say has been heard, or `undefined` while it is not. */
  get listeningSinceMs(): number | undefined {
    return this.bus.connected ? this.#listeningSinceMs : undefined;
  }

  /** A bad message is logged with its device and dropped. */
  take(topic: string, payload: Uint8Array): void {
    try {
      const heard = readDeviceMessage(topic, payload);
      if (heard === undefined || this.#stopped) return;
      const { device } = heard.message;
      const known = this.#pending.get(device) ?? {};
      if (this.#pending.size >= PENDING_MAX && !this.#pending.has(device)) return;
      if (heard.kind === 'presence') {
        this.#pending.set(device, { ...known, presence: heard.message });
      } else if (isNewer(heard.message, known.report ?? null)) {
        this.#pending.set(device, { ...known, report: heard.message });
      }
      this.#flushSoon(BATCH_MS);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.#complain(topic, error);
    }
  }

  #complain(topic: string, error: BadMessage): void {
    if (this.#complaints.get(topic) === error.message) return;
    if (this.#complaints.size >= COMPLAINTS_MAX) this.#complaints.clear();
    this.#complaints.set(topic, error.message);
    this.log.warn('message dropped', { device: error.device, topic, error: error.message });
  }

  #flushSoon(delayMs: number): void {
    if (this.#flushing !== undefined || this.#stopped) return;
    this.#flushing = this.#flush(delayMs).then((failed) => {
      this.#flushing = undefined;
      if (this.#pending.size > 0) this.#flushSoon(failed ? RETRY_MS : BATCH_MS);
    });
  }

  /** @returns true when the database did not take everything. */
  async #flush(delayMs: number): Promise<boolean> {
    await sleep(delayMs);
    const batch = this.#pending;
    this.#pending = new Map();
    const changed: Device[] = [];
    let failed = false;
    for (const [name, heard] of batch) {
      try {
        changed.push(...(await this.#store(name, heard)));
      } catch (error) {
        failed = true;
        this.log.debug('report not stored', { device: name, error: messageOf(error) });
        this.#pending.set(name, { ...heard, ...this.#pending.get(name) });
      }
    }
    try {
      await this.wakeups.wake(changed);
    } catch (error) {
      this.log.debug('rollouts not woken', { error: messageOf(error) });
    }
    return failed;
  }

  /** @returns the device as it was and as it is, when something changed. */
  async #store(name: string, heard: Heard): Promise<Device[]> {
    const known = await this.devices.find(name);
    if (known === undefined) return this.#register(name, heard);
    let before: Device = known;
    const after = await this.devices.update(name, (current) => {
      before = current;
      const status = this.#changed(current.status, heard, current.metadata.generation);
      if (status === undefined) return undefined;
      const reported = status.report?.labels ?? {};
      return { labels: effectiveLabels(reported, current.spec.labels), status };
    });
    return after === before ? [] : [before, after];
  }

  /** The first report of a device makes it known; its presence alone does not. */
  async #register(name: string, heard: Heard): Promise<Device[]> {
    const status = this.#changed(UNKNOWN_STATUS, heard, 1);
    if (heard.report === undefined || status === undefined) return [];
    try {
      const labels = effectiveLabels(heard.report.labels, {});
      const device = await this.devices.create({
        name,
        labels,
        spec: deviceSpecSchema.parse({ labels: {} }),
        status,
      });
      this.log.info('device registered', { device: name });
      return [device];
    } catch (error) {
      if (error instanceof Conflict) return this.#store(name, heard);
      throw error;
    }
  }

  #changed(status: DeviceStatus, heard: Heard, generation: number): DeviceStatus | undefined {
    const { report, presence } = heard;
    const now = this.#now();
    const said = report && withReport(status, { report, generation, now });
    return (presence && withPresence(said ?? status, presence, now)) ?? said;
  }

  #now(): string {
    return this.clock.instant();
  }
}
