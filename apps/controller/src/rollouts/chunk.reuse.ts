import { type ChunkLocation, readChunkTable } from '@entrofleet/artifact';
import type { DeltaRef, Device, Target } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { messageOf } from '../errors.ts';
import { estimateReuse, type LackingBytes, lackingOf, type Reuse } from './reuse.plan.ts';

/** Pairs of artifacts whose difference is remembered; each is a number. */
const PAIRS_MAX = 10_000;

/**
 * How much of an artifact devices have already, from the chunk hashes in the artifacts' headers, and
 * what a delta takes where there is one.
 */
@Injectable()
export class ChunkReuse {
  /** Artifacts never change, so what two of them share holds for ever. */
  readonly #lacking = new Map<string, number>();

  constructor(
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** @returns an estimate for any of the devices and any of the targets. */
  async estimator(
    devices: readonly Device[],
    targets: readonly Target[],
  ): Promise<(device: Device, target: Target) => Reuse> {
    const held = new Set(devices.flatMap((d) => d.status.report?.active?.artifactId ?? []));
    const wanted = new Set(targets.map((target) => target.artifact.id));
    await this.#learn(held, wanted);
    const offers = new Map<string, readonly DeltaRef[]>();
    for (const id of wanted) offers.set(id, await this.deltas.offers(id));
    const lackingBytes: LackingBytes = (pair) => this.#lacking.get(pairKey(pair));
    return (device, target) => {
      const deltas = [...(offers.get(target.artifact.id) ?? [])];
      return estimateReuse({ device, target: { ...target, deltas }, lackingBytes });
    };
  }

  async #learn(held: ReadonlySet<string>, wanted: ReadonlySet<string>): Promise<void> {
    const tables = new Map<string, readonly ChunkLocation[] | undefined>();
    const tableOf = async (id: string) => {
      if (!tables.has(id)) tables.set(id, await this.#table(id));
      return tables.get(id);
    };
    for (const from of held) {
      for (const to of wanted) {
        const key = pairKey({ held: from, wanted: to });
        if (from === to || this.#lacking.has(key)) continue;
        const [old, next] = [await tableOf(from), await tableOf(to)];
        if (old === undefined || next === undefined) continue;
        if (this.#lacking.size >= PAIRS_MAX) this.#lacking.clear();
        this.#lacking.set(key, lackingOf(old, next));
      }
    }
  }

  /** An artifact whose file is gone shares nothing that could be told. */
  async #table(id: string): Promise<readonly ChunkLocation[] | undefined> {
    try {
      return await readChunkTable(this.blobs.path(id), { id });
    } catch (error) {
      this.log.debug('chunks not compared', { artifact: id, error: messageOf(error) });
      return undefined;
    }
  }
}

function pairKey({ held, wanted }: { held: string; wanted: string }): string {
  return `${held}/${wanted}`;
}
