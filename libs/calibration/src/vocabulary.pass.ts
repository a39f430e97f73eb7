import type { Checkpoint } from '@entrofleet/artifact';
import type { TensorPlace } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { requireShape } from './layer.weights.ts';
import type { TokenStatistics } from './token.importance.ts';

/** Positions that the model's predictions are looked at for, evenly spread. */
const POSITIONS_MAX = 2048;
/** Positions whose logits exist at one time. */
const BATCH_POSITIONS = 256;
/** Weights of a slice of rows of an embedding or head that are held in float32. */
const SLICE_WEIGHTS = 16 * 1024 * 1024;

/** Calls `use` with all rows of a matrix in float32, some at a time. */
export async function forEachSlice(
  checkpoint: Checkpoint,
  place: TensorPlace,
  use: (slice: { firstRow: number; rows: number; data: Float32Array }) => Promise<void> | void,
): Promise<void> {
  requireShape(checkpoint, place);
  const { name, rows, columns } = place;
  const tensor = checkpoint.tensors.find((info) => info.name === name);
  if (tensor === undefined) return;
  const rowBytes = tensor.sizeBytes / rows;
  const sliceRows = Math.max(1, Math.floor(SLICE_WEIGHTS / columns));
  for (let firstRow = 0; firstRow < rows; firstRow += sliceRows) {
    const count = Math.min(sliceRows, rows - firstRow);
    const range = { offset: firstRow * rowBytes, sizeBytes: count * rowBytes };
    const weights = await checkpoint.readRange(name, range);
    const data = await native.toFloat32({ weights, type: tensor.type, threads: 1 });
    await use({ firstRow, rows: count, data });
  }
}

/** Sum of squares of each row. */
export async function rowPowers(checkpoint: Checkpoint, place: TensorPlace): Promise<Float64Array> {
  const powers = new Float64Array(place.rows);
  await forEachSlice(checkpoint, place, ({ firstRow, rows, data }) => {
    for (let row = 0; row < rows; row++) {
      let power = 0;
      for (let i = row * place.columns; i < (row + 1) * place.columns; i++) {
        const weight = data[i] ?? 0;
        power += weight * weight;
      }
      powers[firstRow + row] = power;
    }
  });
  return powers;
}

/** Rows of the embedding for each token, tokens x columns. */
export async function lookUp(
  checkpoint: Checkpoint,
  place: TensorPlace,
  tokens: readonly number[],
): Promise<Float32Array> {
  const { columns } = place;
  const hidden = new Float32Array(tokens.length * columns);
  await forEachSlice(checkpoint, place, ({ firstRow, rows, data }) => {
    for (const [i, token] of tokens.entries()) {
      const row = token - firstRow;
      if (row < 0 || row >= rows) continue;
      hidden.set(data.subarray(row * columns, (row + 1) * columns), i * columns);
    }
  });
  return hidden;
}

/**
 * What the model predicts at up to 2048 of the positions.
 * @param normalized final hidden states, tokens x columns.
 */
export async function predictions(
  checkpoint: Checkpoint,
  head: TensorPlace,
  { normalized, threads }: { readonly normalized: Float32Array; readonly threads: number },
): Promise<Pick<TokenStatistics, 'probabilities' | 'variances'>> {
  const { columns, rows: vocabularySize } = head;
  const positions = evenly(normalized.length / columns);
  const sums = new Float64Array(vocabularySize);
  const variances = new Float64Array(vocabularySize);
  for (let begin = 0; begin < positions.length; begin += BATCH_POSITIONS) {
    const batch = positions.slice(begin, begin + BATCH_POSITIONS);
    const inputs = new Float32Array(batch.length * columns);
    for (const [i, position] of batch.entries()) {
      inputs.set(normalized.subarray(position * columns, (position + 1) * columns), i * columns);
    }
    const logits = new Float32Array(batch.length * vocabularySize);
    await forEachSlice(checkpoint, head, async ({ firstRow, rows, data }) => {
      const { outputs } = await native.linear({ inputs, columns, weights: data, rows, threads });
      for (let i = 0; i < batch.length; i++) {
        const part = outputs.subarray(i * rows, (i + 1) * rows);
        logits.set(part, i * vocabularySize + firstRow);
      }
    });
    await native.addProbabilities({ logits, sums, variances });
  }
  return { probabilities: sums, variances };
}

function evenly(count: number): number[] {
  const wanted = Math.min(count, POSITIONS_MAX);
  return Array.from({ length: wanted }, (_, i) => Math.floor((i * count) / wanted));
}
