import { type DeviceStatus, type ObjectMeta, selectorMatches } from '@entrofleet/protocol';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { KeyQueue } from '../adapters/queue.ts';
import { RolloutStore } from './rollout.store.ts';

/** The queue of rollouts that need a look. */
export const RECONCILE_QUEUE = 'reconcile';

/** A rollout is looked at for at most so large a share of the time because of devices' news, */
const BUSY_SHARE = 0.2;
/** and rests at most so long. */
const REST_MAX_MS = 1000;
/** Looking too early does no harm; a timer takes no more than 24.8 days. */
const ALARM_MAX_MS = 3600_000;

/** What of a device tells which rollouts a change of it concerns. */
export interface ConcernedDevice {
  readonly metadata: Pick<ObjectMeta, 'labels'>;
  readonly status: Pick<DeviceStatus, 'desired'>;
}

/**
 * Enqueues the rollouts that a change concerns. News of devices come in thousands, so a rollout
 * rests after each look, the longer the more work that was; what came meanwhile gets one look.
 */
@Injectable()
export class RolloutWakeups implements OnModuleDestroy {
  /** Rollouts at rest, and whether they are to be enqueued at its end. */
  readonly #resting = new Map<string, { timer: NodeJS.Timeout; isWanted: boolean }>();

  /** When time alone changes what a rollout does next. */
  readonly #alarms = new Map<string, NodeJS.Timeout>();

  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  onModuleDestroy(): void {
    for (const { timer } of this.#resting.values()) clearTimeout(timer);
    for (const timer of this.#alarms.values()) clearTimeout(timer);
  }

  /** The rollouts that select or own one of the devices, as they were or as they are. */
  async wake(devices: readonly ConcernedDevice[]): Promise<void> {
    if (devices.length === 0) return;
    for (const { name, selector } of await this.rollouts.claims()) {
      const concerned = devices.some(
        (device) =>
          device.status.desired?.rollout === name ||
          selectorMatches(selector, device.metadata.labels),
      );
      if (concerned) this.wakeRested(name);
    }
  }

  async wakeAll(): Promise<void> {
    for (const { name } of await this.rollouts.claims()) this.wakeRested(name);
  }

  /** At once: somebody waits for it. */
  wakeOne(name: string): void {
    this.queue.enqueue(RECONCILE_QUEUE, name);
  }

  /**
   * Has the rollout looked at then, instead of when it was to be before; `null`: not at all. A timer
   * of this process: what is lost with it, or lies too far ahead for it, the sweep makes up for.
   */
  wakeAt(name: string, at: string | null): void {
    clearTimeout(this.#alarms.get(name));
    this.#alarms.delete(name);
    if (at === null) return;
    const delayMs = Math.max(0, Date.parse(at) - this.clock.now().getTime());
    const alarm = setTimeout(
      () => {
        this.#alarms.delete(name);
        this.wakeOne(name);
      },
      Math.min(delayMs, ALARM_MAX_MS),
    );
    this.#alarms.set(name, alarm.unref());
  }

  /** Lets the rollout rest after a look at it that took so long, in this process. */
  rest(name: string, tookMs: number): void {
    const restMs = Math.min(REST_MAX_MS, tookMs / BUSY_SHARE - tookMs);
    const known = this.#resting.get(name);
    clearTimeout(known?.timer);
    const timer = setTimeout(() => this.#endRest(name), restMs);
    this.#resting.set(name, { timer, isWanted: known?.isWanted === true });
  }

  private wakeRested(name: string): void {
    const resting = this.#resting.get(name);
    if (resting === undefined) this.wakeOne(name);
    else resting.isWanted = true;
  }

  #endRest(name: string): void {
    const isWanted = this.#resting.get(name)?.isWanted;
    this.#resting.delete(name);
    if (isWanted === true) this.wakeOne(name);
  }
}
