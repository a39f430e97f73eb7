import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaseRecord, SeenLease } from './kube.client.ts';
import {
  afterFailure,
  afterRead,
  afterWrite,
  beforeWrite,
  type LeaseStep,
  type LeaseView,
  leaseTiming,
  mayActUntilMs,
  newLeaseView,
  nextLeaseStep,
  releaseStep,
} from './lease.plan.ts';

const timing = leaseTiming(15_000);
const TROUBLE_MS = 300_000;
/** A lease runs out, is seen to have, and is taken; twice, should the first taker lose its answer. */
const CALM_MS = 60_000;

/** From 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Real time, an API server with one Lease, and a network that delays and loses while troubled. */
class World {
  nowMs = 0;
  lease: SeenLease | undefined;
  readonly replicas: Replica[] = [];
  readonly random: () => number;
  /** Real times at which more than one replica might act. */
  readonly overlaps: number[] = [];
  terms = 0;
  #version = 0;
  #events: { atMs: number; run: () => void }[] = [];

  constructor(seed: number) {
    this.random = randomNumbers(seed);
  }

  get isTroubled(): boolean {
    return this.nowMs < TROUBLE_MS;
  }

  at(atMs: number, run: () => void): void {
    this.#events.push({ atMs, run });
  }

  run(untilMs: number): void {
    for (;;) {
      const next = this.#events.reduce<{ atMs: number; run: () => void } | undefined>(
        (first, event) => (first === undefined || event.atMs < first.atMs ? event : first),
        undefined,
      );
      if (next === undefined || next.atMs > untilMs) return;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
  }

  /** Begins of two times to act can only meet when one begins, which is when this is called. */
  check(): void {
    this.terms++;
    if (this.leaders.length > 1) this.overlaps.push(this.nowMs);
  }

  get leaders(): Replica[] {
    return this.replicas.filter((replica) => replica.mayAct());
  }

  /** Once a message was sent, it arrives after a while, much later, or never. */
  deliver(run: () => void): void {
    const luck = this.isTroubled ? this.random() : 1;
    if (luck < 0.1) return;
    const delayMs = luck < 0.2 ? this.random() * 40_000 : this.random() * 200;
    this.at(this.nowMs + delayMs, run);
  }

  /** @returns what was written; `undefined`: the Lease is not the version that was meant. */
  write(seen: SeenLease | undefined, record: LeaseRecord): SeenLease | undefined {
    if (this.lease?.resourceVersion !== seen?.resourceVersion) return undefined;
    this.lease = { ...record, resourceVersion: String(++this.#version) };
    return this.lease;
  }
}

/** One process with its own clock; it is paused, killed and stopped while there is trouble. */
class Replica {
  #view: LeaseView;
  #isStopping = false;
  #isStopped = false;
  #isCalling = false;
  #pausedUntilMs = 0;
  #writes = 0;
  readonly #clock: { readonly offsetMs: number; readonly rate: number };
  readonly #world: World;

  constructor(world: World, identity: string) {
    this.#world = world;
    this.#view = newLeaseView(identity);
    this.#clock = { offsetMs: world.random() * 1e9, rate: 0.95 + world.random() * 0.1 };
    world.replicas.push(this);
    this.#go();
  }

  mayAct(): boolean {
    return (
      !this.#isStopping &&
      !this.#isStopped &&
      this.#localMs < (mayActUntilMs(this.#view, timing) ?? 0)
    );
  }

  pause(durationMs: number): void {
    this.#pausedUntilMs = this.#world.nowMs + durationMs;
  }

  kill(): void {
    this.#isStopped = true;
  }

  /** It acts no more, waits for the answer that it waits for, and gives the Lease back. */
  stop(): void {
    this.#isStopping = true;
    if (!this.#isCalling) this.#release();
  }

  #release(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const step = releaseStep(this.#view, this.#wallTime());
    if (step !== undefined) this.#world.deliver(() => this.#world.write(step.seen, step.record));
  }

  get #localMs(): number {
    return this.#clock.offsetMs + this.#world.nowMs * this.#clock.rate;
  }

  /** Whatever happens to a paused process happens when it goes on. */
  #when(run: () => void): () => void {
    const guarded = (): void => {
      if (this.#isStopped) return;
      if (this.#world.nowMs >= this.#pausedUntilMs) run();
      else this.#world.at(this.#pausedUntilMs + this.#world.random(), guarded);
    };
    return guarded;
  }

  #go(): void {
    if (this.#isStopping) {
      this.#release();
      return;
    }
    const now = { nowMs: this.#localMs, wallTime: this.#wallTime(), timing };
    const step = nextLeaseStep(this.#view, now);
    if (step.kind !== 'Wait') {
      this.#call(step);
      return;
    }
    const waitMs = Math.max(1, (step.untilMs - this.#localMs) / this.#clock.rate);
    this.#world.at(
      this.#world.nowMs + waitMs,
      this.#when(() => this.#go()),
    );
  }

  #call(step: Exclude<LeaseStep, { kind: 'Wait' }>): void {
    this.#isCalling = true;
    const sentMs = this.#localMs;
    if (step.kind === 'Write') this.#view = beforeWrite(this.#view, step.record);
    let isOver = false;
    const once = (run: () => void) =>
      this.#when(() => {
        if (isOver) return;
        isOver = true;
        this.#isCalling = false;
        run();
        this.#go();
      });
    const fail = (isConflict: boolean) =>
      once(() => {
        const nowMs = this.#localMs;
        this.#view = afterFailure(this.#view, { sentMs, nowMs, isConflict, timing });
      });
    const deadlineMs = timing.deadlineMs / this.#clock.rate;
    this.#world.at(this.#world.nowMs + deadlineMs, fail(false));
    this.#world.deliver(() => {
      if (step.kind === 'Read') return this.#answerRead(this.#world.lease, once);
      const lease = this.#world.write(step.seen, step.record);
      if (lease === undefined) return this.#world.deliver(fail(true));
      this.#world.deliver(once(() => this.#confirmed(lease, sentMs)));
    });
  }

  #answerRead(lease: SeenLease | undefined, once: (run: () => void) => () => void): void {
    this.#world.deliver(
      once(() => {
        this.#view = afterRead(this.#view, lease, { nowMs: this.#localMs, timing });
      }),
    );
  }

  #confirmed(lease: SeenLease, sentMs: number): void {
    this.#view = afterWrite(this.#view, lease, { sentMs, timing });
    this.#world.check();
  }

  #wallTime(): string {
    return `${this.#view.identity} ${++this.#writes}`;
  }
}

/** Three replicas; one after the other is paused, killed or stopped, and replaced when it is gone. */
function troubledWorld(seed: number): World {
  const world = new World(seed);
  let made = 0;
  const make = () => new Replica(world, `replica-${made++}`);
  const living = [make(), make(), make()];
  const disturb = (): void => {
    if (!world.isTroubled) return;
    const at = Math.floor(world.random() * living.length);
    // Most trouble is with who leads.
    const leading = living.findIndex((replica) => replica.mayAct());
    const chosen = world.random() < 0.7 && leading >= 0 ? leading : at;
    const victim = living[chosen];
    const kind = world.random();
    if (kind < 0.6) victim?.pause(world.random() * 40_000);
    else {
      if (kind < 0.8) victim?.kill();
      else victim?.stop();
      living[chosen] = make();
    }
    world.at(world.nowMs + world.random() * 30_000, disturb);
  };
  world.at(10_000, disturb);
  return world;
}

describe('replicas that elect a leader', () => {
  it('never act two at once, whatever their clocks, the network and pauses do', () => {
    let terms = 0;
    const holds = (seed: number): void => {
      const world = troubledWorld(seed);
      world.run(TROUBLE_MS);
      terms += world.terms;
      expect(world.overlaps).toEqual([]);
    };
    fc.assert(fc.property(fc.integer(), holds), { numRuns: 300 });
    // Else nothing happened that could have gone wrong.
    expect(terms).toBeGreaterThan(300 * 10);
  });

  it('have one leader soon after the trouble, and keep it', () => {
    const holds = (seed: number): void => {
      const world = troubledWorld(seed);
      world.run(TROUBLE_MS + CALM_MS);
      const [leader, ...others] = world.leaders;
      expect(leader).toBeDefined();
      expect(others).toEqual([]);
      world.run(TROUBLE_MS + 3 * CALM_MS);
      expect(world.leaders).toEqual([leader]);
    };
    fc.assert(fc.property(fc.integer(), holds), { numRuns: 100 });
  });

  it('follow one that was killed within 20 s, and one that gave the lease back at once', () => {
    const followedAfterMs = (seed: number, end: 'kill' | 'stop'): number => {
      const world = new World(seed);
      for (const name of ['a', 'b']) new Replica(world, name);
      // Without trouble: it begins when this world is already beyond it.
      world.nowMs = TROUBLE_MS;
      const fromMs = TROUBLE_MS + 30_000 + world.random() * 5000;
      world.run(fromMs);
      world.nowMs = fromMs;
      world.leaders[0]?.[end]();
      for (let ms = 0; ; ms += 50) {
        world.run(fromMs + ms);
        world.nowMs = Math.max(world.nowMs, fromMs + ms);
        if (world.leaders.length === 1) return ms;
      }
    };
    const seeds = fc.integer();
    fc.assert(fc.property(seeds, (seed) => followedAfterMs(seed, 'kill') < 20_000));
    fc.assert(fc.property(seeds, (seed) => followedAfterMs(seed, 'stop') < 3000));
  });
});
