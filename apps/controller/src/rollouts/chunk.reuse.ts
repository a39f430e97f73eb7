import { type ChunkLocation, readChunkTable } from '@entrofleet/artifact';
import type { Device, Target } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { messageOf } from '../errors.ts';
import { type Lacking, type LackingBytes, lackingOf, pairKey } from './reuse.plan.ts';

/** Pairs of artifacts whose difference is remembered; each is a number. */
const PAIRS_MAX = 10_000;

/** How much of an artifact devices have already, from the chunk hashes in the artifacts' headers. */
@Injectable()
export class ChunkReuse {
  /** Chunks that one has and another has not; artifacts never change, so it holds for ever. */
  readonly #lacking = new Map<string, number>();

  constructor(
    @Inject(DeltaStore) private readonly deltas: Pick<DeltaStore, 'offers'>,
    @Inject(BlobStore) private readonly blobs: Pick<BlobStore, 'path'>,
    @Inject(Log) private readonly log: Pick<Log, 'debug'>,
  ) {}

  /** What each of the targets costs a device that runs one of the artifacts that devices run. */
  async lackingBytes(
    devices: readonly Device[],
    targets: readonly Target[],
  ): Promise<LackingBytes> {
    const held = new Set(devices.flatMap((d) => d.status.report?.active?.artifactId ?? []));
    const lacking = new Map<string, Lacking>();
    const tables = new Map<string, Table>();
    for (const { artifact } of targets) {
      const deltas = held.size === 0 ? [] : await this.deltas.offers(artifact.id);
      for (const from of held) {
        if (from === artifact.id) continue;
        const pair = { held: from, wanted: artifact.id };
        const chunks = await this.#chunkBytes(pair, tables);
        const delta = deltas.find(({ baseArtifactId }) => baseArtifactId === from)?.file.sizeBytes;
        const best = lesserOf(chunks, delta);
        if (best !== undefined) lacking.set(pairKey(pair), best);
      }
    }
    return lacking;
  }

  async #chunkBytes(
    pair: { held: string; wanted: string },
    tables: Map<string, Table>,
  ): Promise<number | undefined> {
    const key = pairKey(pair);
    const known = this.#lacking.get(key);
    if (known !== undefined) return known;
    for (const id of [pair.held, pair.wanted]) {
      if (!tables.has(id)) tables.set(id, await this.#table(id));
    }
    const [old, next] = [tables.get(pair.held), tables.get(pair.wanted)];
    if (old === undefined || next === undefined) return undefined;
    const bytes = lackingOf(old, next);
    if (this.#lacking.size >= PAIRS_MAX) this.#lacking.clear();
    this.#lacking.set(key, bytes);
    return bytes;
  }

  /** An artifact whose file is gone shares nothing that could be told. */
  async #table(id: string): Promise<Table> {
    try {
      return await readChunkTable(this.blobs.path(id), { id });
    } catch (error) {
      this.log.debug('chunks not compared', { artifact: id, error: messageOf(error) });
      return undefined;
    }
  }
}

type Table = readonly ChunkLocation[] | undefined;

function lesserOf(chunks: number | undefined, delta: number | undefined): Lacking | undefined {
  if (delta !== undefined && delta < (chunks ?? Number.POSITIVE_INFINITY)) {
    return { bytesToFetch: delta, by: 'Delta' };
  }
  return chunks === undefined ? undefined : { bytesToFetch: chunks, by: 'Chunks' };
}
