import {
  type ArtifactRef,
  Bitmap,
  parseTopic,
  SCHEMA_VERSION,
  topics,
  type Want,
} from '@entrofleet/protocol';
import type { Bus, Subscription } from './bus.ts';
import { ChunkLanes } from './chunk.lanes.ts';
import type { ChunkStore } from './chunk.store.ts';
import { AgentError, failureOf } from './errors.ts';
import { LinkMeter } from './link.meter.ts';
import type { Log } from './log.ts';
import type { PartialArtifact, Verdict } from './partial.artifact.ts';
import type { TransferCounters } from './progress.file.ts';

export interface DownloadProgress extends TransferCounters {
  readonly chunksTotal: number;
  readonly chunksHeld: number;
  readonly bytesTotal: number;
  readonly bytesHeld: number;
  /** Of this download so far; null: not known. */
  readonly linkBytesPerSecond: number | null;
}

export interface DownloadOptions {
  readonly device: string;
  readonly ref: ArtifactRef;
  readonly store: ChunkStore;
  readonly bus: Bus;
  readonly log: Log;
  /** Chunks that may be in flight towards this device. */
  readonly windowChunks: number;
  readonly uplink?: Uplink;
  /** After so long without a new chunk the want-list is said again. */
  readonly stallMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
  /** The header is here, other chunks are not: those that are can be used already. */
  readonly onHeader?: (partial: PartialArtifact) => void;
  /** What became of each chunk that arrived. */
  readonly onVerdict?: (verdict: Verdict) => void;
}

/** What distributors are told of a device's connection. */
export interface Uplink {
  readonly site: string | null;
  /** The device's own cap; null: the controller's default. */
  readonly bytesPerSecond: number | null;
  /** Want-lists carry the whole reference, for a relay. */
  readonly isRelayed: boolean;
}

const PLAIN_UPLINK: Uplink = { site: null, bytesPerSecond: null, isRelayed: false };

const STALL_BACKOFF = 2;
/** A controller that comes back is asked again within this time. */
const STALL_MAX_MS = 15_000;
const WANT_EXPIRY_SECONDS = 60;

/**
 * Fetches an artifact until it is complete in the store. The broker being away only makes it wait.
 * @throws AgentError, e.g. `DiskFull` (the partial file is deleted to give the space back), or the
 *   signal's reason (the partial file stays for the next try).
 */
export async function download(options: DownloadOptions): Promise<DownloadProgress> {
  const { store, ref, signal } = options;
  if (await store.has(ref)) return settled(ref);
  const partial = await store.openPartial(ref);
  try {
    const transfer = new Transfer(partial, options);
    await transfer.run();
    signal.throwIfAborted();
    await partial.finish();
    return transfer.progress;
  } catch (error) {
    if (signal.aborted || failureOf(error).reason !== 'DiskFull') {
      await partial.close();
      throw error;
    }
    await partial.discard();
    throw filledUp(ref, error);
  }
}

/** The conversation with the distributors about one artifact. */
class Transfer {
  readonly #partial: PartialArtifact;
  readonly #options: DownloadOptions;
  readonly #ended = Promise.withResolvers<void>();
  #over = false;
  #arrivedSinceWant = 0;
  #stalls = 0;
  #stallTimer: NodeJS.Timeout | undefined;
  #reusing: Promise<void> | undefined;
  #isReusing = false;
  #hasAsked = false;
  readonly #link = new LinkMeter();
  readonly #accepting = new Set<Promise<void>>();
  readonly #lanes: ChunkLanes;

  constructor(partial: PartialArtifact, options: DownloadOptions) {
    this.#partial = partial;
    this.#options = options;
    const { bus, device, uplink = PLAIN_UPLINK } = options;
    this.#lanes = new ChunkLanes({
      ...{ bus, device, artifact: options.ref.id, site: uplink.site },
      onChunk: (topic, payload) => this.#take(topic, payload),
    });
  }

  /** Ends when every chunk is held, or when writing fails, or when the signal aborts. */
  async run(): Promise<void> {
    const { bus, signal } = this.#options;
    signal.throwIfAborted();
    let connects: Subscription | undefined;
    const abort = () => this.#end();
    signal.addEventListener('abort', abort);
    try {
      if (this.#partial.headerComplete) this.#announceHeader();
      await this.#reuseOnce();
      this.#report();
      if (this.#partial.complete) return;
      this.#lanes.open();
      const back = () => {
        this.#stalls = 0;
        this.#want();
      };
      connects = bus.onConnected(back);
      this.#want();
      await this.#ended.promise;
      signal.throwIfAborted();
    } finally {
      this.#over = true;
      clearTimeout(this.#stallTimer);
      signal.removeEventListener('abort', abort);
      connects?.close();
      this.#lanes.close();
      this.#wantNoMore();
      await Promise.allSettled(this.#accepting);
    }
  }

  get progress(): DownloadProgress {
    const { bytesPerSecond: linkBytesPerSecond } = this.#link;
    return { ...progressOf(this.#partial), linkBytesPerSecond };
  }

  #take(topic: string, payload: Uint8Array): Promise<void> {
    const parsed = parseTopic(topic);
    const ours = parsed?.kind === 'chunk' && parsed.artifact === this.#options.ref.id;
    if (this.#over || !ours) return Promise.resolve();
    if (this.#lanes.narrow(parsed.lane)) this.#want();
    const accepting = this.#accept(parsed.index, payload).catch((error) => this.#fail(error));
    this.#accepting.add(accepting);
    return accepting.finally(() => this.#accepting.delete(accepting));
  }

  async #accept(index: number, payload: Uint8Array): Promise<void> {
    this.#link.arrived(payload.length);
    const hadHeader = this.#partial.headerComplete;
    const verdict = await this.#partial.accept(index, payload);
    this.#options.onVerdict?.(verdict);
    if (verdict === 'Corrupt' || verdict === 'Foreign') {
      this.#options.log.warn(`dropped chunk ${index} of ${this.#options.ref.id}: ${verdict}`);
    }
    if (verdict === 'Stored') {
      this.#stalls = 0;
      this.#arrivedSinceWant++;
      if (!hadHeader && this.#partial.headerComplete) this.#announceHeader();
      if (!hadHeader) await this.#reuseOnce();
    }
    this.#report();
    if (this.#partial.complete) return this.#end();
    const renew = this.#arrivedSinceWant * 2 >= this.#options.windowChunks;
    const headerCame = !hadHeader && this.#partial.headerComplete;
    if (renew || headerCame) this.#want();
    else if (verdict === 'Stored') this.#armStall();
  }

  #announceHeader(): void {
    if (!this.#over && !this.#partial.complete) this.#options.onHeader?.(this.#partial);
  }

  /** Once the header tells the chunks' hashes, those that lie elsewhere on the disk are copied. */
  #reuseOnce(): Promise<void> {
    if (!this.#partial.headerComplete) return Promise.resolve();
    this.#reusing ??= this.#reuse();
    return this.#reusing;
  }

  /** Nothing is asked for meanwhile: most of it may be here already. */
  async #reuse(): Promise<void> {
    const { store, ref, log } = this.#options;
    this.#isReusing = true;
    clearTimeout(this.#stallTimer);
    const bytes = await this.#partial.reuse(await store.localChunks(ref));
    this.#isReusing = false;
    if (bytes > 0) log.info(`copied ${bytes} bytes of ${ref.id} from other artifacts here`);
  }

  #want(): void {
    if (this.#over || this.#partial.complete || this.#isReusing) return;
    const lacking = this.#partial.lacking();
    this.#arrivedSinceWant = 0;
    this.#armStall();
    if (lacking.count > 0) this.#say(lacking);
  }

  /** Nobody is to send, or to be charged for, what is not listened to any more. */
  #wantNoMore(): void {
    if (this.#hasAsked) this.#say(new Bitmap(this.#options.ref.chunkCount));
  }

  #say(lacking: Bitmap): void {
    const { device, ref, windowChunks, bus, uplink = PLAIN_UPLINK } = this.#options;
    const { site, bytesPerSecond, isRelayed } = uplink;
    this.#hasAsked = true;
    const want: Want = {
      schemaVersion: SCHEMA_VERSION,
      device,
      artifact: ref.id,
      window: windowChunks,
      chunkCount: ref.chunkCount,
      lacking: Buffer.from(lacking.toBytes()).toString('base64'),
      listens: this.#lanes.listens,
      ...(site === null ? {} : { site }),
      ...(bytesPerSecond === null ? {} : { bytesPerSecond }),
      ...(isRelayed ? { ref } : {}),
    };
    const payload = JSON.stringify(want);
    bus.publish({ topic: topics.want(device), payload, expirySeconds: WANT_EXPIRY_SECONDS });
  }

  #armStall(): void {
    clearTimeout(this.#stallTimer);
    const waitMs = Math.min(STALL_MAX_MS, this.#options.stallMs * STALL_BACKOFF ** this.#stalls);
    const spread = 0.75 + Math.random() / 2;
    this.#stallTimer = setTimeout(() => {
      this.#stalls++;
      this.#want();
    }, waitMs * spread);
  }

  #report(): void {
    if (!this.#over) this.#options.onProgress(this.progress);
  }

  #end(): void {
    this.#over = true;
    this.#ended.resolve();
  }

  #fail(error: unknown): void {
    this.#over = true;
    this.#ended.reject(error);
  }
}

function progressOf(partial: PartialArtifact): Omit<DownloadProgress, 'linkBytesPerSecond'> {
  return {
    chunksTotal: partial.ref.chunkCount,
    chunksHeld: partial.chunksHeld,
    bytesTotal: partial.ref.sizeBytes,
    bytesHeld: partial.bytesHeld,
    ...partial.counters,
  };
}

function filledUp(ref: ArtifactRef, cause: unknown): AgentError {
  const message =
    `the disk filled up while artifact ${ref.id.slice(0, 12)} of ${ref.sizeBytes} bytes was ` +
    'fetched; its space has been given back; free some more and retry the rollout';
  return new AgentError('DiskFull', message, { cause });
}

/** Nothing was fetched: the artifact was here already. */
function settled(ref: ArtifactRef): DownloadProgress {
  return {
    chunksTotal: ref.chunkCount,
    chunksHeld: ref.chunkCount,
    bytesTotal: ref.sizeBytes,
    bytesHeld: ref.sizeBytes,
    bytesReceived: 0,
    bytesDuplicate: 0,
    chunksCorrupt: 0,
    linkBytesPerSecond: null,
  };
}
