import { BF16_BYTES } from './artifact.header.ts';

/**
 * Cuts a coded tensor's payload (row steps, then segments) into chunks, each taking as many whole
 * steps and segments as fit.
 * @returns chunk sizes in bytes; they sum up to the payload.
 * @throws RangeError when a segment is larger than a chunk.
 */
export function cutCoded(payload: {
  stepBytes: number;
  segmentSizes: Uint32Array;
  chunkSizeBytes: number;
}): number[] {
  const capacity = payload.chunkSizeBytes;
  const sizes = cutEvenly(payload.stepBytes, { unitBytes: BF16_BYTES, chunkSizeBytes: capacity });
  let open = sizes.pop() ?? 0;
  for (const segment of payload.segmentSizes) {
    if (segment > capacity) throw new RangeError(`a segment of ${segment} bytes fits no chunk`);
    if (open + segment > capacity) {
      sizes.push(open);
      open = 0;
    }
    open += segment;
  }
  if (open > 0) sizes.push(open);
  return sizes;
}

/** Cuts bytes between units of `unitBytes`, every chunk but the last as large as it may be. */
export function cutEvenly(
  sizeBytes: number,
  options: { unitBytes: number; chunkSizeBytes: number },
): number[] {
  const full = options.chunkSizeBytes - (options.chunkSizeBytes % options.unitBytes);
  const count = Math.ceil(sizeBytes / full);
  return Array.from({ length: count }, (_, i) => Math.min(full, sizeBytes - i * full));
}

/** True when chunk sizes tile a coded payload with every cut between steps or segments. */
export function isCut(payload: {
  sizes: readonly number[];
  stepBytes: number;
  segmentSizes: Uint32Array;
}): boolean {
  let chunkEnd = 0;
  let unitEnd = payload.stepBytes;
  let segment = 0;
  for (const size of payload.sizes) {
    chunkEnd += size;
    while (unitEnd < chunkEnd && segment < payload.segmentSizes.length) {
      unitEnd += payload.segmentSizes[segment++] ?? 0;
    }
    const betweenSteps = chunkEnd < payload.stepBytes && chunkEnd % BF16_BYTES === 0;
    if (chunkEnd !== unitEnd && !betweenSteps) return false;
  }
  return chunkEnd === unitEnd && segment === payload.segmentSizes.length;
}
