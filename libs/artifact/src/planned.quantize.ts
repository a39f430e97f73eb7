import { type MatrixInput, quantizeTensor, type TensorGrid } from '@entrofleet/codec';
import type { QuantizedTensor } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { readStatistics } from './calibration.statistics.ts';

/**
 * Quantizes one matrix as planned, after reading the statistics that a calibrated grid names.
 * @throws ArtifactError `BadArgument` when they are missing or damaged; Error with `code`
 * `NonFiniteWeight`.
 */
export async function quantizePlanned(
  matrix: MatrixInput,
  grid: TensorGrid,
  options: { readonly threads: number; readonly calibrationFolder?: string | undefined },
): Promise<QuantizedTensor> {
  const { threads, calibrationFolder: folder } = options;
  if (grid.kind === 'affine' || grid.statistics === null) {
    return quantizeTensor(matrix, grid, { threads });
  }
  if (folder === undefined) {
    throw new ArtifactError('BadArgument', 'a calibrated plan needs the folder of its statistics');
  }
  const { rows, columns } = matrix;
  const statistics = await readStatistics(grid.statistics, { folder, rows, columns });
  return quantizeTensor(matrix, grid, { threads, statistics });
}
