import type { Artifact } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { KeyQueue } from '../adapters/queue.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { ModelReferences } from '../models/model.references.ts';
import { ModelStore } from '../models/model.store.ts';
import { DELTA_QUEUE, deltaKey } from './delta.key.ts';
import { wantedDeltas } from './delta.plan.ts';
import { DeltaWorker } from './delta.worker.ts';

/**
 * Asks for deltas from what devices run to what may be rolled out: as soon as a variant is ready, so
 * that its rollouts find them, and again in every sweep.
 */
@Injectable()
export class DeltaWishes {
  constructor(
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(ModelReferences) private readonly references: ModelReferences,
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(DeltaWorker) private readonly worker: DeltaWorker,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
  ) {}

  /** Enqueues every wanted pair whose delta is neither made nor given up. */
  async enqueueOpen(): Promise<void> {
    const bases = await this.known(await this.references.artifactsOnDevices());
    if (bases.length === 0) return;
    const targets = await this.known(await this.readyIds());
    for (const pair of wantedDeltas({ targets, bases })) {
      const record = await this.deltas.find(pair);
      if (await this.worker.needsWork(record)) this.queue.enqueue(DELTA_QUEUE, deltaKey(pair));
    }
  }

  private async readyIds(): Promise<Set<string>> {
    const ids = new Set<string>();
    for await (const model of this.models.all()) {
      for (const { phase, artifactId } of model.status.variants) {
        if (phase === 'Ready' && artifactId !== null) ids.add(artifactId);
      }
    }
    return ids;
  }

  private async known(ids: Iterable<string>): Promise<Artifact[]> {
    const found: Artifact[] = [];
    for (const id of ids) {
      const artifact = await this.artifacts.findById(id);
      if (artifact !== undefined) found.push(artifact);
    }
    return found;
  }
}
