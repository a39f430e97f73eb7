import type { Device, Target } from '@entrofleet/protocol';
import { mib } from './fitness.plan.ts';

export interface Reuse {
  /** Chunk payload that the device has to fetch. */
  readonly bytesToFetch: number;
  /** With the arithmetic. */
  readonly explanation: string;
}

/** The least that gives an artifact to a device that holds another one. */
export interface Lacking {
  readonly bytesToFetch: number;
  /** The chunks that the other one has not, or a file with the difference. */
  readonly by: 'Chunks' | 'Delta';
}

/** By {@link pairKey}; a pair that is absent cannot be told. */
export type LackingBytes = ReadonlyMap<string, Lacking>;

/** Of two artifacts' ids. */
export function pairKey({ held, wanted }: { held: string; wanted: string }): string {
  return `${held}/${wanted}`;
}

/**
 * What a device has to fetch of a target: not what it holds of an interrupted download, not the
 * chunks that the artifact it runs has too, and a delta instead where one is smaller.
 */
export function estimateReuse(of: {
  device: Device;
  target: Target;
  lackingBytes: LackingBytes;
}): Reuse {
  const { device, target, lackingBytes } = of;
  const { artifact } = target;
  const report = device.status.report;
  const held = report?.active?.artifactId;
  if (held === artifact.id) return { bytesToFetch: 0, explanation: 'runs it already' };
  const ways: Reuse[] = [{ bytesToFetch: artifact.sizeBytes, explanation: 'all of it' }];
  const download = report?.target?.artifactId === artifact.id ? report.download : null;
  if (download !== null && download !== undefined) {
    const bytesToFetch = Math.max(0, artifact.sizeBytes - download.bytesHeld);
    ways.push({ bytesToFetch, explanation: `all but ${mib(download.bytesHeld)} it holds` });
  }
  const lacking = lackingBytes.get(pairKey({ held: held ?? '', wanted: artifact.id }));
  if (lacking !== undefined) {
    const { bytesToFetch, by } = lacking;
    const old = `${report?.active?.model} ${report?.active?.variant}`;
    const shared = mib(artifact.sizeBytes - bytesToFetch);
    const explanation =
      by === 'Delta' ? `the difference to ${old}` : `all but ${shared} it has in ${old}`;
    ways.push({ bytesToFetch, explanation });
  }
  return ways.reduce((best, way) => (way.bytesToFetch < best.bytesToFetch ? way : best));
}

/** Payload of `wanted` whose chunks are not in `held`. */
export function lackingOf(
  held: Iterable<{ readonly sha256: string }>,
  wanted: Iterable<{ readonly sha256: string; readonly sizeBytes: number }>,
): number {
  const hashes = new Set<string>();
  for (const { sha256 } of held) hashes.add(sha256);
  let bytes = 0;
  for (const { sha256, sizeBytes } of wanted) bytes += hashes.has(sha256) ? 0 : sizeBytes;
  return bytes;
}
