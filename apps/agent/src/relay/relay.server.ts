import { ChunkPump, DistributionPlan, LanePlan, NO_CAPS } from '@entrofleet/distribution';
import { type ArtifactRef, topics } from '@entrofleet/protocol';
import type { Bus, Publication, Subscription } from '../bus.ts';
import type { ChunkStore } from '../chunk.store.ts';
import type { DiskBudget } from '../disk.budget.ts';
import { download, type Uplink } from '../download.ts';
import { failureOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { PartialArtifact } from '../partial.artifact.ts';
import { RelayArtifact } from './relay.artifact.ts';
import { type RelayedWant, readRelayedWant } from './relay.want.ts';

const SWEEP_MS = 2000;
/** An artifact that could not be fetched is tried again after this time, when it is still wanted. */
const RETRY_MS = 15_000;

/** Reasons for which what lies on the disk is of no use. */
const SPOILT: ReadonlySet<string> = new Set(['HashMismatch', 'BadHeader', 'BadReference']);

/** The site's own broker, which chunks are published to. */
export interface SiteBroker extends Bus {
  publishAcknowledged(
    message: Omit<Publication, 'payload'> & { readonly payload: string | Uint8Array },
  ): Promise<boolean>;
}

export interface RelayServerOptions {
  readonly device: string;
  readonly site: SiteBroker;
  readonly main: Bus;
  readonly store: ChunkStore;
  readonly budget: DiskBudget;
  readonly log: Log;
  readonly windowChunks: number;
  readonly stallMs: number;
  readonly uplink: Uplink;
}

/**
 * A distributor for one site: fetches what its neighbours want once over the uplink and publishes
 * each chunk once at the site's own broker. It hands out only what it has verified; they verify
 * again. One artifact is fetched at a time.
 */
export class RelayServer {
  readonly #options: RelayServerOptions;
  readonly #plan = new DistributionPlan();
  readonly #pump: ChunkPump;
  readonly #artifacts = new Map<string, RelayArtifact>();
  readonly #notBeforeMs = new Map<string, number>();
  readonly #subscriptions: Subscription[] = [];
  #fetching: { readonly id: string; readonly abort: AbortController } | undefined;
  #fetched: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: RelayServerOptions) {
    this.#options = options;
    const { site } = options;
    this.#pump = new ChunkPump({
      plan: this.#plan,
      lanes: new LanePlan(NO_CAPS),
      nowMs: () => performance.now(),
      isConnected: () => site.connected,
      read: async ({ artifact, index }) => this.#artifacts.get(artifact)?.read(index),
      publish: ({ artifact, index, lane }, payload) =>
        site.publishAcknowledged({ topic: topics.chunk(artifact, index, lane), payload }),
      onFailure: ({ artifact }, error) => this.#drop(artifact, error),
    });
  }

  start(): void {
    const { site } = this.#options;
    this.#subscriptions.push(
      site.subscribe(topics.everyWant, (topic, payload) => this.#take(topic, payload)),
      site.onConnected(() => this.#pump.go()),
    );
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const subscription of this.#subscriptions) subscription.close();
    this.#pump.stop();
    this.#fetching?.abort.abort(new Error('the relay ends'));
    await this.#fetched;
    for (const artifact of this.#artifacts.values()) await artifact.close();
  }

  #take(topic: string, payload: Uint8Array): void {
    if (this.#pump.stopped) return;
    try {
      const received = readRelayedWant(topic, payload);
      if (received !== undefined) this.#want(received);
    } catch (error) {
      this.#options.log.warn(`ignored a want-list: ${failureOf(error).message}`);
    }
  }

  #want({ want, ref, lacking }: RelayedWant): void {
    const artifact = this.#artifacts.get(ref.id) ?? new RelayArtifact(ref);
    this.#artifacts.set(ref.id, artifact);
    const headerChunks = ref.headerChunks.length;
    const { chunkSizeBytes } = ref;
    this.#pump.want({ ...want, headerChunks, chunkSizeBytes, lacking, available: artifact });
    this.#fetchNext();
  }

  /** What nobody wants any more is neither fetched nor kept open. */
  #sweep(): void {
    const { site } = this.#options;
    this.#pump.go();
    const current = this.#fetching;
    if (current !== undefined && !(site.connected && this.#plan.isWanted(current.id))) {
      current.abort.abort(new Error('nobody at the site wants it any more'));
    }
    for (const [id, artifact] of this.#artifacts) {
      if (id === current?.id || this.#plan.isWanted(id)) continue;
      this.#artifacts.delete(id);
      void artifact.close();
    }
    this.#fetchNext();
  }

  #fetchNext(): void {
    const { site, log } = this.#options;
    if (this.#fetching !== undefined || this.#pump.stopped || !site.connected) return;
    const nowMs = performance.now();
    for (const [id, artifact] of this.#artifacts) {
      const isDue = nowMs >= (this.#notBeforeMs.get(id) ?? 0);
      if (artifact.isComplete || !isDue || !this.#plan.isWanted(id)) continue;
      const abort = new AbortController();
      this.#fetching = { id, abort };
      this.#fetched = this.#fetch(artifact, abort.signal)
        .catch((error: unknown) => {
          if (!abort.signal.aborted) return this.#drop(id, error);
          log.info(`stopped fetching ${id}: ${failureOf(abort.signal.reason).message}`);
        })
        .finally(() => {
          this.#fetching = undefined;
          this.#fetchNext();
        });
      return;
    }
  }

  async #fetch(artifact: RelayArtifact, signal: AbortSignal): Promise<void> {
    const { ref } = artifact;
    const { device, store, budget, main, log, windowChunks, stallMs, uplink } = this.#options;
    const wanted = [...this.#artifacts.keys()].filter((id) => this.#plan.isWanted(id));
    await budget.makeRoom(ref, wanted);
    const onHeader = (partial: PartialArtifact): void => {
      const isHeld = (index: number) => partial.arrivals.has({ first: index, end: index + 1 });
      artifact.open(partial.path, isHeld).then(
        () => this.#grown(ref),
        (error: unknown) => log.warn(`cannot relay ${ref.id} yet: ${failureOf(error).message}`),
      );
    };
    await download({
      ...{ device, ref, store, bus: main, log, windowChunks, stallMs, uplink, signal, onHeader },
      onProgress: () => this.#grown(ref),
    });
    await artifact.open(store.path(ref.id), () => true);
    artifact.isComplete = true;
    this.#grown(ref);
    await budget.collect([...wanted, ref.id]);
  }

  #grown(ref: ArtifactRef): void {
    this.#plan.grown(ref.id);
    this.#pump.go();
  }

  /** What went wrong may be the disk's or the reference's fault: it is fetched anew, later. */
  async #drop(id: string, error: unknown): Promise<void> {
    const { reason, message } = failureOf(error);
    const { log, store } = this.#options;
    log.warn(`cannot relay artifact ${id}: ${reason}: ${message}`);
    const artifact = this.#artifacts.get(id);
    this.#artifacts.delete(id);
    this.#plan.forget(id);
    this.#notBeforeMs.set(id, performance.now() + RETRY_MS);
    await artifact?.close();
    if (this.#fetching?.id === id) this.#fetching.abort.abort(new Error(message));
    else if (SPOILT.has(reason)) await store.remove(id);
  }
}
