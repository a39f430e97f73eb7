import type { Device, Target } from '@entrofleet/protocol';

export interface Reuse {
  /** Chunk payload that the device has to fetch. */
  readonly bytesToFetch: number;
  /** With the arithmetic. */
  readonly explanation: string;
}

/** Payload of an artifact that another one lacks, by {@link pairKey}; absent: it cannot be told. */
export type LackingBytes = ReadonlyMap<string, number>;

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
  const { artifact, deltas = [] } = target;
  const report = device.status.report;
  const held = report?.active?.artifactId;
  if (held === artifact.id) return { bytesToFetch: 0, explanation: 'runs it already' };
  const whole = { bytesToFetch: artifact.sizeBytes, explanation: 'all of it' };
  const ways: Reuse[] = [whole];
  const download = report?.target?.artifactId === artifact.id ? report.download : null;
  if (download !== null && download !== undefined) {
    const bytesToFetch = Math.max(0, artifact.sizeBytes - download.bytesHeld);
    ways.push({ bytesToFetch, explanation: `all but ${download.bytesHeld} bytes it holds` });
  }
  if (held !== undefined) {
    const lacking = lackingBytes.get(pairKey({ held, wanted: artifact.id }));
    if (lacking !== undefined) {
      const shared = artifact.sizeBytes - lacking;
      const explanation = `all but ${shared} bytes it has in ${report?.active?.variant}`;
      ways.push({ bytesToFetch: lacking, explanation });
    }
    for (const { baseArtifactId, file } of deltas) {
      if (baseArtifactId !== held) continue;
      const explanation = `the difference to ${report?.active?.variant}`;
      ways.push({ bytesToFetch: file.sizeBytes, explanation });
    }
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
