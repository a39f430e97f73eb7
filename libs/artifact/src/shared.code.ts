import type { TensorGrid } from '@entrofleet/codec';
import { native } from '@entrofleet/native';
import { type Checkpoint, nativeFailure } from './checkpoint.reader.ts';
import type { MatrixInfo } from './encode.plan.ts';
import { quantizeMatrix } from './matrix.quantizer.ts';
import { gridOf } from './quantization.plan.ts';

const SYMBOLS = 256;

/**
 * The one Huffman code of a model that layout `paper` has: that of the counts of all coded tensors
 * together. Takes a pass over the source that quantizes every matrix, one at a time.
 * @returns one code length per byte value.
 * @throws CheckpointError; the signal's reason.
 */
export async function measureSharedCode(search: {
  readonly checkpoint: Checkpoint;
  readonly matrices: readonly MatrixInfo[];
  readonly grids: ReadonlyMap<string, TensorGrid>;
  readonly threads: number;
  readonly calibrationFolder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<Uint8Array> {
  const { checkpoint, matrices, grids, threads, calibrationFolder } = search;
  const counts = new Float64Array(SYMBOLS);
  const largest = Math.max(0, ...matrices.map(({ sizeBytes }) => sizeBytes));
  const source = { checkpoint, threads, calibrationFolder, memory: new Uint8Array(largest) };
  for (const matrix of matrices) {
    const { name } = matrix;
    search.signal?.throwIfAborted();
    const grid = gridOf(matrix, grids);
    const { histogram } = await quantizeMatrix(matrix, grid, source).catch((cause) => {
      throw nativeFailure(name, cause);
    });
    for (const [symbol, count] of histogram.entries()) {
      counts[symbol] = (counts[symbol] ?? 0) + count;
    }
  }
  return native.huffmanCodeLengths({ histogram: counts });
}
