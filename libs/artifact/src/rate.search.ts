import { chooseStepFactor, rowRates } from '@entrofleet/codec';
import { type Checkpoint, nativeFailure } from './checkpoint.reader.ts';
import { type MatrixInfo, sampleStride } from './encode.plan.ts';
import { elementBytes } from './safetensors.header.ts';

/** Passes the search takes as a rule; one that needs more stands still at the end. */
const PASSES_EXPECTED = 4;

/**
 * Finds one step factor for all matrices whose entropy, averaged over all their weights, meets the
 * target. Each pass streams over the matrices; of large ones it reads only every n-th row.
 * @throws CheckpointError; CodecError when the target is out of range; the signal's reason.
 */
export async function searchStepFactor(search: {
  readonly checkpoint: Checkpoint;
  readonly matrices: readonly MatrixInfo[];
  readonly targetBitsPerWeight: number;
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (fraction: number, tensor: string) => void;
}): Promise<number> {
  const { checkpoint, matrices, threads } = search;
  const weightsOf = ({ shape: [rows, columns] }: MatrixInfo) => rows * columns;
  const total = matrices.reduce((sum, matrix) => sum + weightsOf(matrix), 0);
  let pass = 0;
  const measure = async (stepFactors: readonly number[]): Promise<number[]> => {
    const bits = stepFactors.map(() => 0);
    let done = 0;
    for (const matrix of matrices) {
      search.signal?.throwIfAborted();
      const sample = await readSample(checkpoint, matrix);
      const rates = await rowRates(sample, { stepFactors, rowStride: 1, threads }).catch(
        (cause: unknown) => {
          throw nativeFailure(matrix.name, cause);
        },
      );
      for (const [i, rate] of rates.entries()) bits[i] = (bits[i] ?? 0) + rate * weightsOf(matrix);
      done += weightsOf(matrix);
      search.onProgress(Math.min(1, (pass + done / total) / PASSES_EXPECTED), matrix.name);
    }
    pass++;
    return bits.map((sum) => sum / total);
  };
  const { targetBitsPerWeight } = search;
  return (await chooseStepFactor({ targetBitsPerWeight, measure })).stepFactor;
}

async function readSample(checkpoint: Checkpoint, matrix: MatrixInfo) {
  const { name, type } = matrix;
  const [rows, columns] = matrix.shape;
  const stride = sampleStride(matrix);
  if (stride === 1) return { weights: await checkpoint.readRaw(name), type, rows, columns };
  const rowBytes = columns * elementBytes(type);
  const sampled = Math.ceil(rows / stride);
  const weights = new Uint8Array(sampled * rowBytes);
  for (let i = 0; i < sampled; i++) {
    const range = { offset: i * stride * rowBytes, sizeBytes: rowBytes };
    weights.set(await checkpoint.readRange(name, range), i * rowBytes);
  }
  return { weights, type, rows: sampled, columns };
}
