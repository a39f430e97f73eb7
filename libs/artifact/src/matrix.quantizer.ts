import { quantizeTensor, type TensorGrid } from '@entrofleet/codec';
import type { QuantizedTensor } from '@entrofleet/native';
import { readStatistics } from './calibration.statistics.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import type { MatrixInfo } from './encode.plan.ts';

/** Where a matrix and what is known of its inputs come from. */
export interface MatrixSource {
  readonly checkpoint: Checkpoint;
  readonly threads: number;
  /** As large as the largest tensor; holds each tensor's source bytes in turn. */
  readonly memory: Uint8Array<ArrayBuffer>;
  /** Where the statistics of calibrated grids lie. */
  readonly calibrationFolder?: string | undefined;
}

/**
 * Reads and quantizes one matrix.
 * @throws CheckpointError; Error of the native codec.
 */
export async function quantizeMatrix(
  tensor: MatrixInfo,
  grid: TensorGrid,
  source: MatrixSource,
): Promise<QuantizedTensor> {
  const { checkpoint, threads, memory, calibrationFolder: folder } = source;
  const [rows, columns] = tensor.shape;
  const weights = await checkpoint.readRaw(tensor.name, memory);
  const names = grid.kind === 'rows' ? grid.statistics : null;
  const statistics =
    names === null || folder === undefined
      ? undefined
      : await readStatistics(names, { folder, rows, columns });
  const matrix = { weights, type: tensor.type, rows, columns };
  return quantizeTensor(matrix, grid, { threads, statistics });
}
