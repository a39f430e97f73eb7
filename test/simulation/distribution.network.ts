import { DistributionPlan } from '../../libs/distribution/src/index.ts';
import { Bitmap } from '../../libs/protocol/src/index.ts';

export interface NetworkFaults {
  /** Probability from 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
  /** A message may come so much later than those after it. */
  readonly jitterMs: number;
  /** After so many chunks the distributor starts with an empty memory; 0: never. */
  readonly restartAfter: number;
}

interface SimulatedDevice {
  readonly name: string;
  readonly window: number;
  readonly delayMs: number;
  readonly lacking: Bitmap;
  arrivedSinceWant: number;
  stallMs: number;
  stallAtMs: number;
  received: number;
  duplicates: number;
}

const STALL_MS = 3000;
const STALL_MAX_MS = 60_000;
const PUBLISH_MS = 1;

/** Devices that behave as the agent does, a lossy network, and the plan under test. */
export class SimulatedNetwork {
  readonly devices: SimulatedDevice[] = [];
  published = 0;
  readonly #faults: NetworkFaults;
  readonly #random: () => number;
  readonly #headerChunks: number;
  readonly #events: { atMs: number; run: () => void }[] = [];
  /** One per distributor; the broker gives each want-list to any one of them. */
  readonly #plans: DistributionPlan[];
  #nowMs = 0;

  constructor(options: {
    faults: NetworkFaults;
    random: () => number;
    headerChunks: number;
    distributors?: number;
  }) {
    const { distributors = 1 } = options;
    this.#plans = Array.from({ length: distributors }, () => new DistributionPlan());
    this.#faults = options.faults;
    this.#random = options.random;
    this.#headerChunks = options.headerChunks;
  }

  /** @param options.held indices the device has already */
  join(options: {
    name: string;
    chunks: number;
    window: number;
    delayMs: number;
    startMs: number;
    held?: readonly number[];
  }): void {
    const lacking = new Bitmap(options.chunks).inverted();
    for (const index of options.held ?? []) lacking.delete(index);
    const device: SimulatedDevice = {
      name: options.name,
      window: options.window,
      delayMs: options.delayMs,
      lacking,
      arrivedSinceWant: 0,
      stallMs: STALL_MS,
      stallAtMs: Number.POSITIVE_INFINITY,
      received: 0,
      duplicates: 0,
    };
    this.#at(options.startMs, () => {
      this.devices.push(device);
      this.#want(device);
    });
  }

  /** @returns false when not every device was complete in the time. */
  run(limitMs: number): boolean {
    let nextPublishMs = 0;
    while (this.#nowMs < limitMs) {
      this.#nowMs += PUBLISH_MS;
      this.#events.sort((a, b) => a.atMs - b.atMs);
      while ((this.#events[0]?.atMs ?? Number.POSITIVE_INFINITY) <= this.#nowMs) {
        this.#events.shift()?.run();
      }
      for (const device of this.devices) if (this.#nowMs >= device.stallAtMs) this.#stall(device);
      if (this.#nowMs >= nextPublishMs) {
        nextPublishMs = this.#nowMs + PUBLISH_MS;
        for (const index of this.#plans.keys()) this.#publish(index);
      }
      const isOver = this.devices.every((device) => device.lacking.count === 0);
      if (isOver && this.#events.length === 0) return true;
    }
    return false;
  }

  #publish(distributor: number): void {
    const chunk = this.#plans[distributor]?.next(this.#nowMs);
    if (chunk === undefined) return;
    this.published++;
    if (this.published === this.#faults.restartAfter) {
      this.#plans[distributor] = new DistributionPlan();
    }
    for (const device of this.devices) {
      this.#deliver(device.delayMs, () => this.#arrive(device, chunk.index));
    }
  }

  #deliver(delayMs: number, run: () => void): void {
    const copies = this.#random() < this.#faults.duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random() < this.#faults.loss) continue;
      this.#at(this.#nowMs + delayMs + this.#random() * this.#faults.jitterMs, run);
    }
  }

  #arrive(device: SimulatedDevice, index: number): void {
    if (device.lacking.count === 0) return;
    if (!device.lacking.delete(index)) {
      device.duplicates++;
      return;
    }
    device.received++;
    device.arrivedSinceWant++;
    device.stallMs = STALL_MS;
    device.stallAtMs = this.#nowMs + device.stallMs;
    const headerCame = index < this.#headerChunks && !this.#lacksHeader(device);
    if (headerCame || device.arrivedSinceWant * 2 >= device.window) this.#want(device);
  }

  #lacksHeader(device: SimulatedDevice): boolean {
    return (device.lacking.indices().next().value ?? device.lacking.length) < this.#headerChunks;
  }

  #stall(device: SimulatedDevice): void {
    device.stallMs = Math.min(STALL_MAX_MS, device.stallMs * 2);
    this.#want(device);
  }

  #want(device: SimulatedDevice): void {
    device.arrivedSinceWant = 0;
    const isComplete = device.lacking.count === 0;
    device.stallAtMs = isComplete ? Number.POSITIVE_INFINITY : this.#nowMs + device.stallMs;
    if (isComplete) return;
    const lacking = Bitmap.fromBytes(device.lacking.toBytes(), device.lacking.length);
    const want = {
      device: device.name,
      artifact: 'a',
      headerChunks: this.#headerChunks,
      window: device.window,
      lacking,
    };
    this.#deliver(device.delayMs, () => {
      const distributor = Math.floor(this.#random() * this.#plans.length);
      this.#plans[distributor]?.want(want, this.#nowMs);
    });
  }

  #at(atMs: number, run: () => void): void {
    this.#events.push({ atMs, run });
  }
}

/** Mulberry32: a small seeded generator, so that a failing seed replays. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
