import type { Target } from '@entrofleet/protocol';
import type { Bus } from './bus.ts';
import type { ChunkStore } from './chunk.store.ts';
import type { AgentConfig } from './config.ts';
import { downloadDelta } from './delta.download.ts';
import { DeviceLoader } from './device.loader.ts';
import { DiskBudget } from './disk.budget.ts';
import { type DownloadProgress, download } from './download.ts';
import { failureOf, systemCode } from './errors.ts';
import type { LoadedModel, LoadTarget } from './loaded.model.ts';
import type { Log } from './log.ts';
import type { PartialArtifact, Verdict } from './partial.artifact.ts';
import { selfTest } from './selftest.ts';
import type { UpdateSteps } from './update.steps.ts';

export interface DeviceStepsOptions {
  readonly config: AgentConfig;
  readonly store: ChunkStore;
  readonly bus: Bus;
  /** Told what became of each chunk that arrived. */
  readonly onVerdict?: (verdict: Verdict) => void;
  readonly log: Log;
  /** Told of each request that a model has answered, or failed with an error. */
  readonly onServed?: LoadTarget['onServed'];
}

/** The steps of an update as this device really takes them. */
export function createDeviceSteps(options: DeviceStepsOptions): UpdateSteps<LoadedModel> {
  const { config, store, bus, log, onVerdict = () => undefined } = options;
  const { device, windowChunks, stallMs, uplink } = config;
  const loader = new DeviceLoader(options);
  const budget = new DiskBudget({ store, budgetBytes: config.diskBudgetBytes });
  return {
    async download(target, { signal, keep, loadAhead, onProgress, onDelta }) {
      await loader.forgetAhead();
      // What cannot run here need not be fetched.
      loader.assertFits(target);
      await budget.makeRoom(target.artifact, keep);
      const onHeader = (partial: PartialArtifact) => {
        if (loadAhead) loader.loadAhead(target, partial);
      };
      const ref = target.artifact;
      const talk = { device, store, bus, log, windowChunks, stallMs, signal, uplink, onVerdict };
      const { threads } = config;
      const forDelta = await downloadDelta({ ...talk, target, threads, onProgress, onDelta });
      const onFetched = (progress: DownloadProgress) =>
        onProgress({ ...progress, bytesReceived: progress.bytesReceived + forDelta });
      const fetched = { ...talk, ref, onProgress: onFetched, onHeader };
      try {
        onFetched(await download(fetched));
      } catch (error) {
        if (signal.aborted || failureOf(error).reason !== 'DiskFull') throw error;
        const bytes = await store.collect(keep);
        if (bytes === 0) throw error;
        log.info(`the disk is full: deleted ${bytes} bytes of other artifacts, trying once more`);
        onFetched(await download(fetched));
      }
    },
    async verify(target, { signal }) {
      const damaged = await findDamaged(store, target, signal);
      if (damaged.length === 0) return null;
      await loader.forgetAhead();
      await store.reopen(target.artifact, damaged);
      return `${damaged.length} of ${target.artifact.chunkCount} chunks of ${target.model} are damaged`;
    },
    load: (target, { signal }) => loader.load(target, signal),
    restore: (target, { signal }) => loader.restore(target, signal),
    test: (model, context) => selfTest(model, context),
    forgetAhead: () => loader.forgetAhead(),
    async collect(keep) {
      const bytes = await budget.collect(keep);
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
