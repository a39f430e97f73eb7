import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { ModelReferences } from '../models/model.references.ts';
import { ModelStore } from '../models/model.store.ts';
import { ArtifactStore } from './artifact.store.ts';
import { DeltaStore } from './delta.store.ts';

/** A file that young may belong to a compression that has not saved its row yet. */
const YOUNG_MS = 10 * 60_000;

/** Removes artifacts that neither a variant nor a device needs any more. */
@Injectable()
export class ArtifactCollector {
  constructor(
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ModelReferences) private readonly references: ModelReferences,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(Log) private readonly log: Log,
  ) {}

  async collect(): Promise<void> {
    const held = await this.references.artifactsOnDevices();
    for (const key of await this.artifacts.keys()) {
      if (held.has(key.id) || (await this.isWanted(key))) continue;
      await this.artifacts.remove(key);
      this.log.info('artifact removed', { model: key.model, variant: key.variant, id: key.id });
      // Removed at once: its row was there, so no compression is about to add it.
      if ((await this.artifacts.findById(key.id)) === undefined) await this.blobs.remove(key.id);
    }
    const rows = [...(await this.artifacts.keys()), ...(await this.deltas.keys())];
    const known = new Set(rows.map(({ id }) => id));
    for (const id of await this.blobs.idsOlderThan(YOUNG_MS)) {
      if (!known.has(id)) await this.blobs.remove(id);
    }
  }

  private async isWanted(key: { model: string; variant: string; id: string }): Promise<boolean> {
    const model = await this.models.find(key.model);
    const variant = model?.status.variants.find((v) => v.name === key.variant);
    // While a variant is being made again, its row may be the one that is about to be confirmed.
    return variant !== undefined && (variant.artifactId === key.id || variant.phase !== 'Ready');
  }
}
