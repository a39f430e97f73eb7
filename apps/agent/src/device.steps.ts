import type { Target } from '@entrofleet/protocol';
import type { Bus } from './bus.ts';
import { readMemory } from './capabilities.ts';
import type { ChunkStore } from './chunk.store.ts';
import type { AgentConfig } from './config.ts';
import { download } from './download.ts';
import { failureOf, systemCode } from './errors.ts';
import { type LoadedModel, loadArtifact } from './loaded.model.ts';
import type { Log } from './log.ts';
import { assertFits, modelBudgetBytes } from './memory.fit.ts';
import { selfTest } from './selftest.ts';
import type { UpdateSteps } from './update.steps.ts';

export interface DeviceStepsOptions {
  readonly config: AgentConfig;
  readonly store: ChunkStore;
  readonly bus: Bus;
  readonly log: Log;
}

/** The steps of an update as this device really takes them. */
export function createDeviceSteps(options: DeviceStepsOptions): UpdateSteps<LoadedModel> {
  const { config, store, bus, log } = options;
  const { device, windowChunks, stallMs, threads } = config;
  const limits = { sequences: config.httpConcurrency, keyValueBytes: config.keyValueBytes };
  const availableBytes = (): number | null =>
    readMemory({ root: '/', budgetBytes: config.memoryBudgetBytes }).availableBytes;
  const load = async (target: Target, signal: AbortSignal): Promise<LoadedModel> => {
    const path = store.path(target.artifact.id);
    const budgetBytes = modelBudgetBytes(availableBytes());
    const model = await loadArtifact({ target, path, threads, limits, budgetBytes, signal });
    const residency = model.language.residency?.explanation;
    if (residency !== undefined) log.info(`${target.model} ${target.variant} holds ${residency}`);
    return model;
  };
  return {
    async download(target, { signal, keep, onProgress }) {
      // What cannot run here need not be fetched.
      assertFits(target, availableBytes());
      const ref = target.artifact;
      const fetched = { device, ref, store, bus, log, windowChunks, stallMs, signal, onProgress };
      try {
        onProgress(await download(fetched));
      } catch (error) {
        if (signal.aborted || failureOf(error).reason !== 'DiskFull') throw error;
        const bytes = await store.collect(keep);
        if (bytes === 0) throw error;
        log.info(`the disk is full: deleted ${bytes} bytes of other artifacts, trying once more`);
        onProgress(await download(fetched));
      }
    },
    async verify(target, { signal }) {
      const damaged = await findDamaged(store, target, signal);
      if (damaged.length === 0) return null;
      await store.reopen(target.artifact, damaged);
      return `${damaged.length} of ${target.artifact.chunkCount} chunks of ${target.model} are damaged`;
    },
    async load(target, { signal }) {
      assertFits(target, availableBytes());
      return load(target, signal);
    },
    restore: (target, { signal }) => load(target, signal),
    test: (model, context) => selfTest(model, context),
    async collect(keep) {
      const bytes = await store.collect(keep);
      if (bytes > 0) log.info(`deleted ${bytes} bytes of artifacts that are not needed any more`);
    },
  };
}

/** An artifact that has gone from the disk is damaged as a whole. */
async function findDamaged(
  store: ChunkStore,
  target: Target,
  signal: AbortSignal,
): Promise<number[]> {
  try {
    return await store.findDamaged(target.artifact, signal);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return [...Array(target.artifact.chunkCount).keys()];
  }
}
