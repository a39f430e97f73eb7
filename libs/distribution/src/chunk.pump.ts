import type { DistributionPlan, NextChunk, WantList } from './distribution.plan.ts';
import type { LanePlan, Listener } from './lane.plan.ts';

/** Chunks read or published and not yet acknowledged by the broker; it bounds the memory. */
const SENDING_MAX = 16;

export interface ChunkPumpPorts {
  readonly plan: DistributionPlan;
  readonly lanes: LanePlan;
  readonly nowMs: () => number;
  readonly isConnected: () => boolean;
  /** @returns `undefined` when the artifact has gone. */
  readonly read: (chunk: NextChunk) => Promise<Uint8Array | undefined>;
  /** @returns false when the broker is away; the chunk is sent again when it is back. */
  readonly publish: (chunk: NextChunk, payload: Uint8Array) => Promise<boolean>;
  /** Reading or publishing went wrong, and what was wanted of the artifact is forgotten. */
  readonly onFailure: (chunk: NextChunk, error: unknown) => Promise<void>;
}

/** With thousands of devices a chunk takes milliseconds to decide; others have their turn between. */
const SLICE_MS = 10;

/** Publishes wanted chunks as the plan says, as fast as lanes and broker take them. */
export class ChunkPump {
  readonly #ports: ChunkPumpPorts;
  #sending = 0;
  /** Settles when the chunk before the next one has been handed to the bus. */
  #before: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(ports: ChunkPumpPorts) {
    this.#ports = ports;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes in a want-list, on the lane that is the device's now. */
  want(want: WantList & Omit<Listener, 'device'>): void {
    const { plan, lanes, nowMs } = this.#ports;
    const atMs = nowMs();
    plan.want({ ...want, lane: lanes.laneFor(want, atMs) }, atMs);
    this.go();
  }

  /** Something may have changed: publishes what may go now. */
  go(): void {
    clearTimeout(this.#timer);
    const { plan, lanes } = this.#ports;
    const sinceMs = this.#ports.nowMs();
    while (!this.#stopped && this.#ports.isConnected() && this.#sending < SENDING_MAX) {
      const nowMs = this.#ports.nowMs();
      if (nowMs - sinceMs >= SLICE_MS) {
        this.#goIn(0);
        return;
      }
      const waitMs = lanes.waitMs(nowMs);
      const blocked = (lane: string) => lanes.laneWaitMs(lane, nowMs);
      const chunk = waitMs > 0 ? undefined : plan.next(nowMs, blocked);
      if (chunk === undefined) {
        const wakeMs = waitMs > 0 ? nowMs + waitMs : plan.wakeMs();
        if (wakeMs !== undefined) this.#goIn(Math.max(1, wakeMs - nowMs));
        return;
      }
      this.#sending++;
      lanes.charge(chunk, chunk.sizeBytes);
      void this.#send(chunk);
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #goIn(delayMs: number): void {
    this.#timer = setTimeout(() => this.go(), delayMs);
  }

  /** Chunks are read side by side and published in the order in which they were decided. */
  async #send(chunk: NextChunk): Promise<void> {
    const { plan, lanes } = this.#ports;
    const before = this.#before;
    const turn = Promise.withResolvers<void>();
    this.#before = turn.promise;
    let sentBytes = 0;
    try {
      const payload = await this.#ports.read(chunk);
      if (payload === undefined) return plan.forget(chunk.artifact);
      await before;
      const publishing = this.#ports.publish(chunk, payload);
      turn.resolve();
      if (await publishing) sentBytes = payload.length;
      else plan.unsent(chunk);
    } catch (error) {
      if (this.#stopped) return;
      plan.forget(chunk.artifact);
      await this.#ports.onFailure(chunk, error);
    } finally {
      turn.resolve();
      lanes.charge(chunk, sentBytes - chunk.sizeBytes);
      this.#sending--;
      this.go();
    }
  }
}
