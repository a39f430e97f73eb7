import { type ChunkLocation, readChunkTable } from '@entrofleet/artifact';
import type { Device, Target } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { messageOf } from '../errors.ts';
import { type LackingBytes, lackingOf, pairKey } from './reuse.plan.ts';

/** Pairs of artifacts whose difference is remembered; each is a number. */
const PAIRS_MAX = 10_000;

/** How much of an artifact devices have already, from the chunk hashes in the artifacts' headers. */
@Injectable()
export class ChunkReuse {
  /** Artifacts never change, so what two of them share holds for ever. */
  readonly #lacking = new Map<string, number>();

  constructor(
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * What each of the targets has that the artifacts lack which the devices run, or the size of the
   * delta where that is less.
   */
  async lackingBytes(
    devices: readonly Device[],
    targets: readonly Target[],
  ): Promise<LackingBytes> {
    const held = new Set(devices.flatMap((d) => d.status.report?.active?.artifactId ?? []));
    const wanted = new Set(targets.map((target) => target.artifact.id));
    const tables = new Map<string, Table>();
    const tableOf = async (id: string) => {
      if (!tables.has(id)) tables.set(id, await this.#table(id));
      return tables.get(id);
    };
    const lacking = new Map<string, number>();
    for (const from of held) {
      for (const to of wanted) {
        if (from === to) continue;
        const key = pairKey({ held: from, wanted: to });
        const bytes = this.#lacking.get(key) ?? compare(await tableOf(from), await tableOf(to));
        if (bytes === undefined) continue;
        if (this.#lacking.size >= PAIRS_MAX) this.#lacking.clear();
        this.#lacking.set(key, bytes);
        lacking.set(key, bytes);
      }
    }
    for (const target of wanted) {
      for (const { baseArtifactId, file } of await this.deltas.offers(target)) {
        const key = pairKey({ held: baseArtifactId, wanted: target });
        const bytes = lacking.get(key);
        if (bytes !== undefined) lacking.set(key, Math.min(bytes, file.sizeBytes));
      }
    }
    return lacking;
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

function compare(held: Table, wanted: Table): number | undefined {
  return held === undefined || wanted === undefined ? undefined : lackingOf(held, wanted);
}
