import { applyDelta } from '@entrofleet/artifact';
import type { ArtifactRef, DeltaRef, Report, Target } from '@entrofleet/protocol';
import { type DownloadOptions, type DownloadProgress, download } from './download.ts';
import { AgentError, failureOf } from './errors.ts';

/** Without a new chunk for so long, while the broker is there, nobody has the delta any more. */
const STALL_MS = 30_000;
const CHECKS_PER_STALL = 10;

export type DeltaReport = NonNullable<Report['delta']>;

export interface DeltaDownloadOptions extends Omit<DownloadOptions, 'ref' | 'onHeader'> {
  readonly target: Target;
  /** Windows of a tensor that are rebuilt at the same time. */
  readonly threads: number;
  readonly onDelta: (report: DeltaReport) => void;
  /** For tests. */
  readonly deltaStallMs?: number;
}

/**
 * Rebuilds as much of the target as a delta gives, for the download to find: it fetches what is
 * still lacking, all of it when there is no delta for an artifact that is complete here. Whatever
 * goes wrong with a delta is logged and reported, and costs no more than its own bytes.
 * @returns bytes that were received for the delta.
 * @throws the signal's reason.
 */
export async function downloadDelta(options: DeltaDownloadOptions): Promise<number> {
  const { target, store, signal, log } = options;
  const delta = await usableDelta(options);
  if (delta === undefined) return 0;
  const { baseArtifactId, file } = delta;
  let received = 0;
  try {
    const fetched = await fetchDelta(options, file, (bytes) => {
      received = bytes;
    });
    received = fetched.bytesReceived;
    const message = await rebuild(options, delta);
    log.info(`artifact ${target.artifact.id}: ${message}`);
    options.onDelta({ baseArtifactId, outcome: 'Applied', message });
  } catch (error) {
    signal.throwIfAborted();
    const { reason, message } = failureOf(error);
    const said = `${reason}: ${message}`.slice(0, MESSAGE_LENGTH);
    log.warn(`the delta ${file.id} falls back to fetching ${target.artifact.id}: ${said}`);
    options.onDelta({ baseArtifactId, outcome: 'FellBack', message: said });
  }
  await store.remove(file.id);
  return received;
}

const MESSAGE_LENGTH = 1900;

/** The first delta whose base is complete here and that is smaller than what is lacking. */
async function usableDelta({ target, store }: DeltaDownloadOptions): Promise<DeltaRef | undefined> {
  const { artifact, deltas = [] } = target;
  if (deltas.length === 0 || (await store.has(artifact))) return undefined;
  const lackingBytes = artifact.sizeBytes - (await store.bytesHeld(artifact));
  for (const delta of deltas) {
    if (delta.file.sizeBytes >= lackingBytes) continue;
    if (await store.isComplete(delta.baseArtifactId)) return delta;
  }
  return undefined;
}

/** @throws AgentError `DeltaStalled`, and what a download throws. */
async function fetchDelta(
  options: DeltaDownloadOptions,
  ref: ArtifactRef,
  onReceived: (bytes: number) => void,
): Promise<DownloadProgress> {
  const { bus, target, deltaStallMs = STALL_MS } = options;
  const stalled = new AbortController();
  let held = -1;
  let waitedMs = 0;
  const checkMs = deltaStallMs / CHECKS_PER_STALL;
  const timer = setInterval(() => {
    if (bus.connected) waitedMs += checkMs;
    if (waitedMs < deltaStallMs) return;
    const message = `no chunk of the delta ${ref.id} came for ${deltaStallMs / 1000} s`;
    stalled.abort(new AgentError('DeltaStalled', message));
  }, checkMs);
  const { sizeBytes: bytesTotal, chunkCount: chunksTotal } = target.artifact;
  const onProgress = (progress: DownloadProgress) => {
    if (progress.bytesHeld !== held) waitedMs = 0;
    held = progress.bytesHeld;
    onReceived(progress.bytesReceived);
    // What people follow is the target, of which nothing is here yet.
    options.onProgress({ ...progress, bytesTotal, chunksTotal, bytesHeld: 0, chunksHeld: 0 });
  };
  try {
    const signal = AbortSignal.any([options.signal, stalled.signal]);
    return await download({ ...options, ref, signal, onProgress });
  } finally {
    clearInterval(timer);
  }
}

/**
 * Rebuilds the target's chunks into its download.
 * @returns what was done, for people.
 * @throws ArtifactError; AgentError `DeltaIncomplete` when some items could not be rebuilt.
 */
async function rebuild(
  { target, store, threads, signal }: DeltaDownloadOptions,
  { baseArtifactId, file }: DeltaRef,
): Promise<string> {
  const partial = await store.openPartial(target.artifact);
  try {
    const paths = { base: store.path(baseArtifactId), delta: store.path(file.id) };
    const { rebuiltChunks, rebuiltBytes, failures } = await applyDelta(
      { ...paths, threads, signal },
      {
        holds: (index) => partial.holds(index),
        write: async ({ index }, bytes) => {
          if (await partial.adopt(index, bytes)) return;
          throw new AgentError('BadDelta', `chunk ${index} is none of ${target.artifact.id}`);
        },
      },
    );
    await partial.flush();
    const done = `${rebuiltChunks} chunks of ${rebuiltBytes} bytes rebuilt from ${file.sizeBytes}`;
    const [first] = failures;
    if (first === undefined) return done;
    throw new AgentError(
      'DeltaIncomplete',
      `${done}; ${failures.length} items are fetched whole, first ${first.item}: ` +
        `${first.reason}: ${first.message}`,
    );
  } finally {
    await partial.close();
  }
}
