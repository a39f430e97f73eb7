import type { SeededRandom } from './seeded.random.ts';

interface Timer {
  readonly id: number;
  readonly run: () => void;
  readonly everyMs: number | undefined;
  atMs: number;
}

type Globals = Pick<
  typeof globalThis,
  'setTimeout' | 'clearTimeout' | 'setInterval' | 'clearInterval' | 'Date'
> & { readonly now: () => number; readonly random: () => number };

const realImmediate = setImmediate;

/**
 * Time that passes only when everything that can happen now has happened. While it is installed,
 * timers, clocks and Math.random of the whole process are its own, so the code under test needs no
 * seams for them, and the same seed gives the same run.
 */
export class VirtualTime {
  readonly startMs: number;
  readonly #random: SeededRandom;
  readonly #timers = new Map<number, Timer>();
  #queue: Timer[] = [];
  #nowMs: number;
  #id = 0;
  #real: Globals | undefined;

  constructor(options: { startMs: number; random: SeededRandom }) {
    this.startMs = options.startMs;
    this.#nowMs = options.startMs;
    this.#random = options.random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  instant(): string {
    return new Date(this.#nowMs).toISOString();
  }

  /** Runs `action` so much later. @returns what takes it back. */
  after(delayMs: number, action: () => void): () => void {
    const timer = this.#add({ delayMs, run: action, everyMs: undefined });
    return () => this.#clear(timer.id);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Lets time pass, up to `untilMs`, or until nothing is left to happen. */
  async run(untilMs: number): Promise<void> {
    await settle();
    for (;;) {
      const timer = this.#take();
      if (timer === undefined) break;
      if (timer.atMs > untilMs) {
        this.#push(timer);
        break;
      }
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      if (timer.everyMs === undefined) this.#timers.delete(timer.id);
      else this.#push({ ...timer, atMs: timer.atMs + timer.everyMs });
      timer.run();
      await settle();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  install(): void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, Date: RealDate } = globalThis;
    const now = performance.now;
    const random = Math.random;
    this.#real = {
      setTimeout,
      clearTimeout,
      setInterval,
      clearInterval,
      Date: RealDate,
      now,
      random,
    };
    const time = this;
    class VirtualDate extends RealDate {
      constructor(...given: [] | [number | string | Date]) {
        if (given.length === 0) super(time.nowMs);
        else super(given[0]);
      }
      static override now(): number {
        return time.nowMs;
      }
    }
    const start = (run: () => void, delayMs = 0, isInterval = false) => {
      const every = isInterval ? Math.max(1, delayMs) : undefined;
      const { id } = this.#add({ delayMs, run, everyMs: every });
      return handle(id);
    };
    const clear = (given: unknown) => this.#clear(Number(given));
    Object.assign(globalThis, {
      setTimeout: (run: () => void, delayMs?: number) => start(run, delayMs),
      setInterval: (run: () => void, delayMs?: number) => start(run, delayMs, true),
      clearTimeout: clear,
      clearInterval: clear,
      Date: VirtualDate,
    });
    performance.now = () => this.#nowMs - this.startMs;
    Math.random = () => this.#random.next();
  }

  uninstall(): void {
    if (this.#real === undefined) return;
    const { now, random, ...globals } = this.#real;
    Object.assign(globalThis, globals);
    performance.now = now;
    Math.random = random;
    this.#real = undefined;
  }

  #add(of: { delayMs: number; run: () => void; everyMs: number | undefined }): Timer {
    const atMs = this.#nowMs + Math.max(0, of.delayMs);
    const timer = { id: ++this.#id, run: of.run, everyMs: of.everyMs, atMs };
    this.#timers.set(timer.id, timer);
    this.#push(timer);
    return timer;
  }

  #clear(id: number): void {
    this.#timers.delete(id);
  }

  /** Sorted by time; equal times keep their order, as timers of Node do. */
  #push(timer: Timer): void {
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1]?.atMs ?? 0) > timer.atMs) at--;
    this.#queue.splice(at, 0, timer);
  }

  #take(): Timer | undefined {
    for (;;) {
      const timer = this.#queue.shift();
      if (timer === undefined || this.#timers.has(timer.id)) return timer;
    }
  }
}

/** What Node's timers give: a number where one is asked for, with ref and unref. */
function handle(id: number) {
  const timer = { ref: () => timer, unref: () => timer, [Symbol.toPrimitive]: () => id };
  return timer;
}

/** Resolves when all promises that can go on have gone on. */
function settle(): Promise<void> {
  return new Promise((resolve) => realImmediate(resolve));
}
