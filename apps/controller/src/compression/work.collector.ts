import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { Log } from '../adapters/log.ts';
import { CONFIG, type Config } from '../config.ts';
import { ModelStore } from '../models/model.store.ts';
import type { VariantKey } from '../models/variant.key.ts';
import { variantWork } from '../models/variant.plan.ts';
import { CompressionReconciler } from './compression.reconciler.ts';
import { variantFolder, WorkFolder, workIdentity } from './work.folder.ts';

/** Removes what was kept for variants that need no more work, or work on something else. */
@Injectable()
export class WorkCollector {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(CompressionReconciler) private readonly reconciler: CompressionReconciler,
    @Inject(Log) private readonly log: Log,
  ) {}

  async collect(): Promise<void> {
    const root = this.config.workFolder;
    for (const model of await names(root)) {
      for (const variant of await names(join(root, model))) {
        await this.collectVariant({ model, variant });
      }
      // Fails while there is still something in it.
      await rmdir(join(root, model)).catch(() => undefined);
    }
  }

  private async collectVariant(key: VariantKey): Promise<void> {
    const model = await this.models.find(key.model);
    const work = model && variantWork(model.spec, key.variant);
    const { workFolder: root } = this.config;
    if (
      model === undefined ||
      work === undefined ||
      !(await this.reconciler.needsWork(model, key))
    ) {
      await rm(variantFolder(root, key), { recursive: true, force: true });
      this.log.debug('work files removed', { ...key });
    } else if ((await workIdentity(work)) !== undefined) {
      await (await WorkFolder.of(root, key, work)).removeOutdated();
    }
  }
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
