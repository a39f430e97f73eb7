import { Inject, Injectable } from '@nestjs/common';
import { KeyQueue } from '../adapters/queue.ts';
import { ArtifactCollector } from '../artifacts/artifact.collector.ts';
import { DeltaCollector } from '../artifacts/delta.collector.ts';
import { ModelStore } from '../models/model.store.ts';
import { COMPRESSION_QUEUE, variantKey } from '../models/variant.key.ts';
import { Sweep } from '../sweep/sweep.ts';
import { CompressionReconciler } from './compression.reconciler.ts';
import { DeltaWishes } from './delta.wishes.ts';
import { WorkCollector } from './work.collector.ts';

/** Enqueues every variant that is not done, or whose artifact file has gone. */
@Injectable()
export class CompressionSweep {
  constructor(
    @Inject(Sweep) sweep: Sweep,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(CompressionReconciler) private readonly reconciler: CompressionReconciler,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(ArtifactCollector) artifacts: ArtifactCollector,
    @Inject(WorkCollector) work: WorkCollector,
    @Inject(DeltaWishes) wishes: DeltaWishes,
    @Inject(DeltaCollector) deltas: DeltaCollector,
  ) {
    sweep.add('variants', () => this.enqueueOpen());
    sweep.add('artifacts', () => artifacts.collect());
    sweep.add('deltas', () => wishes.enqueueOpen());
    sweep.add('unneeded deltas', () => deltas.collect());
    sweep.add('work files', () => work.collect());
  }

  private async enqueueOpen(): Promise<void> {
    for await (const model of this.models.all()) {
      for (const { name } of model.spec.variants) {
        const key = { model: model.metadata.name, variant: name };
        if (await this.reconciler.needsWork(model, key)) {
          this.queue.enqueue(COMPRESSION_QUEUE, variantKey(key));
        }
      }
    }
  }
}
