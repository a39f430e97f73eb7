import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Database } from '../adapters/db.ts';
import { KeyQueue } from '../adapters/queue.ts';
import { CONFIG, type Config } from '../config.ts';
import { COMPRESSION_QUEUE } from '../models/variant.key.ts';
import { CompressionReconciler } from './compression.reconciler.ts';

/** Takes variants and their tensor groups from the queue, in processes with the role `worker`. */
@Injectable()
export class CompressionWorker implements OnApplicationBootstrap {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(Database) private readonly database: Database,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(CompressionReconciler) private readonly reconciler: CompressionReconciler,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (!this.config.roles.has('worker')) return;
    await this.blobs.removeDeadDrafts();
    // Not before: a key that cannot be looked at yet would be left to the next sweep.
    this.database.whenReady().then(
      () => this.consume(),
      () => undefined,
    );
  }

  private consume(): void {
    this.queue.consume(COMPRESSION_QUEUE, (key, signal) => this.reconciler.reconcile(key, signal), {
      concurrency: this.config.compressionConcurrency,
    });
  }
}
