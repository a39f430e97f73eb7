import { type ChunkSource, openChunks, openDeltaChunks } from '@entrofleet/artifact';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { messageOf } from '../errors.ts';

/** Artifact files that are open at the same time. */
const OPEN_MAX = 16;
/** How long an artifact that could not be opened is not looked for again. */
const ABSENT_MS = 5000;
const COMPLAINTS_MAX = 1000;

export interface OpenArtifact {
  readonly source: Pick<ChunkSource, 'read' | 'close'>;
  readonly headerChunks: number;
  readonly chunkCount: number;
  readonly chunkSizeBytes: number;
}

/** The artifacts, and deltas between them, that chunks are handed out of; the least recently used file is closed first. */
@Injectable()
export class ChunkLibrary implements OnModuleDestroy {
  readonly #open = new Map<string, Promise<OpenArtifact | undefined>>();
  readonly #absentSinceMs = new Map<string, number>();
  readonly #complaints = new Set<string>();

  constructor(
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  async onModuleDestroy(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.close(id)));
  }

  /** @returns `undefined` for an artifact that is unknown or unreadable now; the log says why. */
  async open(id: string): Promise<OpenArtifact | undefined> {
    const known = this.#open.get(id);
    if (known !== undefined) {
      this.#open.delete(id);
      this.#open.set(id, known);
      return known;
    }
    const nowMs = this.clock.now().getTime();
    if (nowMs - (this.#absentSinceMs.get(id) ?? Number.NEGATIVE_INFINITY) < ABSENT_MS) {
      return undefined;
    }
    const opening = this.#load(id);
    this.#open.set(id, opening);
    const opened = await opening;
    if (opened === undefined) this.#setAbsent(id, nowMs);
    for (const oldest of [...this.#open.keys()].slice(0, this.#open.size - OPEN_MAX)) {
      await this.close(oldest);
    }
    return opened;
  }

  /** Never fails; the next open reads the file anew. */
  async close(id: string): Promise<void> {
    const closing = this.#open.get(id);
    this.#open.delete(id);
    try {
      await (await closing)?.source.close();
    } catch (error) {
      this.log.warn('artifact not closed', { artifact: id, error: messageOf(error) });
    }
  }

  #setAbsent(id: string, nowMs: number): void {
    this.#open.delete(id);
    if (this.#absentSinceMs.size >= COMPLAINTS_MAX) this.#absentSinceMs.clear();
    this.#absentSinceMs.set(id, nowMs);
  }

  async #load(id: string): Promise<OpenArtifact | undefined> {
    try {
      const artifact = await this.artifacts.findById(id);
      const ref = artifact?.ref ?? (await this.deltas.findRef(id));
      if (ref === undefined) {
        this.#complainOnce(id, 'no artifact has this id; the devices that want it are outdated');
        return undefined;
      }
      const open = artifact === undefined ? openDeltaChunks : openChunks;
      const source = await open(this.blobs.path(id), { id });
      this.#complaints.delete(id);
      const { headerChunks, chunkCount, chunkSizeBytes } = ref;
      return { source, headerChunks: headerChunks.length, chunkCount, chunkSizeBytes };
    } catch (error) {
      this.#complainOnce(id, messageOf(error));
      return undefined;
    }
  }

  #complainOnce(id: string, error: string): void {
    if (this.#complaints.has(id)) return;
    if (this.#complaints.size >= COMPLAINTS_MAX) this.#complaints.clear();
    this.#complaints.add(id);
    this.log.warn('artifact cannot be handed out', { artifact: id, error });
  }
}
