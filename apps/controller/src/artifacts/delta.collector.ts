import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { ModelReferences } from '../models/model.references.ts';
import { ArtifactStore } from './artifact.store.ts';
import { DeltaStore } from './delta.store.ts';

/** Removes deltas from an artifact that no device has any more, or to one that is gone. */
@Injectable()
export class DeltaCollector {
  constructor(
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(ModelReferences) private readonly references: ModelReferences,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(Log) private readonly log: Log,
  ) {}

  async collect(): Promise<void> {
    const keys = await this.deltas.keys();
    if (keys.length === 0) return;
    const bases = await this.references.artifactsOnDevices();
    const targets = new Set((await this.artifacts.keys()).map(({ id }) => id));
    for (const { base, target, id } of keys) {
      if (bases.has(base) && targets.has(target)) continue;
      await this.deltas.remove({ base, target });
      if (id !== null) await this.blobs.remove(id);
      this.log.info('delta removed', { base, target });
    }
  }
}
