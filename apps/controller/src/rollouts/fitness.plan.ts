import type { Device, Target } from '@entrofleet/protocol';

export interface Misfit {
  readonly reason: 'NotEnoughMemory' | 'NotEnoughDisk';
  /** The whole sum, so that a person can check it. */
  readonly message: string;
}

/**
 * Why a device cannot take the target, or `undefined` when it can. The old model serves until the
 * new one has passed its test, so both must fit in memory. A reading that is absent refuses nothing.
 *
 * @param footprints memory in bytes of artifacts that devices run, by artifact id.
 */
export function misfit(
  device: Device,
  target: Target,
  footprints: ReadonlyMap<string, number>,
): Misfit | undefined {
  const report = device.status.report;
  if (report === null || report.active?.artifactId === target.artifact.id) return undefined;
  const { memoryBytes, diskFreeBytes } = report.capabilities;
  const running = report.active;
  const runningBytes = running === null ? 0 : (footprints.get(running.artifactId) ?? 0);
  // Weights that do not fit decoded stay entropy coded, about as large as their artifact.
  const weightBytes = Math.min(target.memoryBytes, target.artifact.sizeBytes);
  const neededBytes = weightBytes + target.kvCacheBytes + runningBytes;
  const name = `${target.model} ${target.variant}`;
  if (neededBytes > memoryBytes) {
    const old = running === null ? '' : ` + ${mib(runningBytes)} of ${running.model} until then`;
    return {
      reason: 'NotEnoughMemory',
      message:
        `${name} needs ${mib(weightBytes)} for weights + ${mib(target.kvCacheBytes)} for ` +
        `the KV cache${old} = ${mib(neededBytes)}; the device has ${mib(memoryBytes)} of memory. ` +
        'Choose a smaller variant or leave the device out of the selector',
    };
  }
  const isSame = report.target?.artifactId === target.artifact.id;
  const heldBytes = isSame ? (report.download?.bytesHeld ?? 0) : 0;
  const missingBytes = Math.max(0, target.artifact.sizeBytes - heldBytes);
  if (diskFreeBytes === null || missingBytes <= diskFreeBytes) return undefined;
  return {
    reason: 'NotEnoughDisk',
    message:
      `${name} needs ${mib(target.artifact.sizeBytes)} on disk - ${mib(heldBytes)} held = ` +
      `${mib(missingBytes)}; the device has ${mib(diskFreeBytes)} free. Free some, or choose a ` +
      'smaller variant',
  };
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
