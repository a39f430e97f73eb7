import {
  type Artifact,
  type Device,
  LIMITS,
  type Report,
  type Target,
  type Timeouts,
} from '@entrofleet/protocol';

/** Memory that an artifact takes on a device that runs it, with its KV cache. */
export interface Footprint {
  readonly decodedBytes: number;
  /** Where it does not fit decoded, and so is held entropy coded. */
  readonly codedBytes: number;
}

/** By artifact id. */
export type Footprints = ReadonlyMap<string, Footprint>;

export interface Misfit {
  readonly reason:
    | 'NotEnoughMemory'
    | 'NotEnoughDisk'
    | 'DownloadTooSlow'
    | 'DecodeTooSlow'
    | 'UpdateTooSlow';
  /** The whole sum, so that a person can check it. */
  readonly message: string;
}

export function footprintsOf(artifacts: readonly Artifact[]): Footprints {
  return new Map(
    artifacts.map((artifact) => {
      const contextLength = Math.min(artifact.contextLength, LIMITS.contextLengthDefault);
      const cacheBytes = contextLength * artifact.kvCacheBytesPerToken;
      const decodedBytes = artifact.memoryBytes + cacheBytes;
      const codedBytes = artifact.ref.sizeBytes + cacheBytes;
      return [artifact.id, { decodedBytes, codedBytes }];
    }),
  );
}

/** What else is known; each adds a condition. */
export interface FitLimits {
  /** Of the rollout's strategy: a device that cannot make it is not started. */
  readonly timeouts?: Timeouts | undefined;
  /** Payload the device lacks, where that is known better than from its report. */
  readonly bytesToFetch?: (() => number | undefined) | undefined;
}

/**
 * Why a device cannot take the target, or `undefined` when it can. The old model serves until the
 * new one has passed its test, so both must fit in memory. A reading that is absent refuses nothing.
 *
 * @param footprints of the artifacts that devices run.
 */
export function misfit(
  device: Device,
  target: Target,
  footprints: Footprints,
  limits: FitLimits = {},
): Misfit | undefined {
  const report = device.status.report;
  if (report === null || report.active?.artifactId === target.artifact.id) return undefined;
  return (
    memoryMisfit(report, target, footprints) ??
    diskMisfit(report, target) ??
    timeMisfit(report, target, limits)
  );
}

/** How a device would hold the weights, as its agent plans it. */
export interface WeightsHeld {
  /** `Coded` weights are about as large as their artifact, and are decoded again for each token. */
  readonly form: 'Resident' | 'Coded';
  readonly sizeBytes: number;
}

/** Decoded when that fits beside everything else, else entropy coded. */
export function weightsHeld(device: Device, target: Target, footprints: Footprints): WeightsHeld {
  const report = device.status.report;
  const roomBytes = report === null ? Number.POSITIVE_INFINITY : roomFor(report, footprints);
  const isResident =
    target.memoryBytes <= target.artifact.sizeBytes ||
    target.memoryBytes + target.kvCacheBytes <= roomBytes;
  return isResident
    ? { form: 'Resident', sizeBytes: target.memoryBytes }
    : { form: 'Coded', sizeBytes: target.artifact.sizeBytes };
}

/** Payload of the target that a device lacks, from what it says it holds of it. */
export function missingBytes(report: Report | null, target: Target): number {
  const isSame = report?.target?.artifactId === target.artifact.id;
  const heldBytes = isSame ? (report.download?.bytesHeld ?? 0) : 0;
  return Math.max(0, target.artifact.sizeBytes - heldBytes);
}

/** The model that stays in memory beside a new one; after a start it is still being loaded. */
function runningOf(report: Report): Report['active'] {
  return report.active ?? report.restoring ?? null;
}

function runningBytesOf(report: Report, footprints: Footprints): number {
  const running = runningOf(report);
  const held = running === null ? undefined : footprints.get(running.artifactId);
  if (held === undefined) return 0;
  const isDecoded = held.decodedBytes <= report.capabilities.memoryBytes;
  return isDecoded ? held.decodedBytes : Math.min(held.codedBytes, held.decodedBytes);
}

/** Memory for a new model beside the one that serves. */
function roomFor(report: Report, footprints: Footprints): number {
  const { memoryBytes, memoryAvailableBytes } = report.capabilities;
  const besideBytes = memoryBytes - runningBytesOf(report, footprints);
  return Math.min(besideBytes, memoryAvailableBytes ?? Number.POSITIVE_INFINITY);
}

function memoryMisfit(report: Report, target: Target, footprints: Footprints): Misfit | undefined {
  const { memoryBytes, memoryAvailableBytes } = report.capabilities;
  const running = runningOf(report);
  const runningBytes = runningBytesOf(report, footprints);
  const weightBytes = Math.min(target.memoryBytes, target.artifact.sizeBytes);
  const ownBytes = weightBytes + target.kvCacheBytes;
  const sum =
    `${nameOf(target)} needs ${mib(weightBytes)} for weights + ${mib(target.kvCacheBytes)} ` +
    'for the KV cache';
  const fix = 'Choose a smaller variant or leave the device out of the selector';
  if (ownBytes + runningBytes > memoryBytes) {
    const old = running === null ? '' : ` + ${mib(runningBytes)} of ${running.model} until then`;
    const message =
      `${sum}${old} = ${mib(ownBytes + runningBytes)}; the device has ${mib(memoryBytes)} ` +
      `of memory. ${fix}`;
    return { reason: 'NotEnoughMemory', message };
  }
  if (memoryAvailableBytes === null || ownBytes <= memoryAvailableBytes) return undefined;
  const message =
    `${sum} = ${mib(ownBytes)}; the device has ${mib(memoryAvailableBytes)} available of ` +
    `${mib(memoryBytes)} beside what runs on it now. ${fix}`;
  return { reason: 'NotEnoughMemory', message };
}

/** What the device deletes for the target: artifacts before the active one, and what it gives up. */
function reclaimableBytes(report: Report, target: Target): number {
  const { diskReclaimableBytes = 0 } = report.capabilities;
  const id = report.target?.artifactId;
  const isGivenUp = id !== target.artifact.id && id !== report.active?.artifactId;
  return diskReclaimableBytes + (isGivenUp ? (report.download?.bytesHeld ?? 0) : 0);
}

function diskMisfit(report: Report, target: Target): Misfit | undefined {
  const { diskFreeBytes } = report.capabilities;
  const oldBytes = reclaimableBytes(report, target);
  const { sizeBytes } = target.artifact;
  const lackingBytes = missingBytes(report, target);
  if (diskFreeBytes === null || lackingBytes <= diskFreeBytes + oldBytes) {
    return undefined;
  }
  const old = oldBytes === 0 ? '' : ` and ${mib(oldBytes)} of artifacts that it can do without`;
  const running = report.active === null ? '' : ` beside ${report.active.model}`;
  return {
    reason: 'NotEnoughDisk',
    message:
      `${nameOf(target)} needs ${mib(sizeBytes)} on disk${running} - ` +
      `${mib(sizeBytes - lackingBytes)} held = ${mib(lackingBytes)}; the device has ` +
      `${mib(diskFreeBytes)} free${old}. Free some, or choose a smaller variant`,
  };
}

/** Steps whose speed the device has measured, against the timeouts that it would run into. */
function timeMisfit(report: Report, target: Target, limits: FitLimits): Misfit | undefined {
  const { timeouts } = limits;
  if (timeouts === undefined) return undefined;
  const { downloadSeconds, decodeSeconds, wholeSeconds } = timeouts;
  // Asked of thousands of devices in each plan, and most rollouts have no such limits.
  if (downloadSeconds === null && decodeSeconds === null && wholeSeconds === null) return undefined;
  const link = report.capabilities.linkBytesPerSecond ?? null;
  const decoder = report.measurement?.entropyDecodeGigabytesPerSecond ?? null;
  const lackingBytes = limits.bytesToFetch?.() ?? missingBytes(report, target);
  const download = stepTime('to fetch', lackingBytes, link);
  const decode = stepTime('to decode', target.memoryBytes, decoder === null ? null : decoder * 1e9);
  const late = (reason: Misfit['reason'], words: string, limit: string): Misfit => ({
    reason,
    message: `${nameOf(target)} takes ${words}, ${limit}. Allow more, or choose a smaller variant`,
  });
  if (downloadSeconds !== null && download.seconds > downloadSeconds) {
    return late('DownloadTooSlow', download.words, `downloadSeconds is ${downloadSeconds}`);
  }
  if (decodeSeconds !== null && decode.seconds > decodeSeconds) {
    return late('DecodeTooSlow', decode.words, `decodeSeconds is ${decodeSeconds}`);
  }
  const seconds = download.seconds + decode.seconds;
  if (wholeSeconds === null || seconds <= wholeSeconds) return undefined;
  const words = [download, decode].flatMap((step) => (step.words === '' ? [] : [step.words]));
  return late('UpdateTooSlow', words.join(' + '), `wholeSeconds is ${wholeSeconds}`);
}

/** An unknown speed takes no time, so that it refuses nothing. */
function stepTime(
  verb: string,
  bytes: number,
  bytesPerSecond: number | null,
): { seconds: number; words: string } {
  if (bytesPerSecond === null || bytesPerSecond <= 0) return { seconds: 0, words: '' };
  const seconds = bytes / bytesPerSecond;
  const words = `${mib(bytes)} ${verb} / ${mib(bytesPerSecond)}/s = ${seconds.toFixed(1)} s`;
  return { seconds, words };
}

function nameOf(target: Target): string {
  return `${target.model} ${target.variant}`;
}

export function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
