import type { PlainTensor } from '@entrofleet/native';

/** Consecutive rows of a matrix, sharing its memory wherever they start on a whole byte. */
export function sliceRows(tensor: PlainTensor, firstRow: number, rows: number): PlainTensor {
  const { columns } = tensor;
  const start = firstRow * columns;
  const count = rows * columns;
  if (tensor.format === 'f32') {
    return { format: 'f32', rows, columns, data: tensor.data.subarray(start, start + count) };
  }
  if (tensor.format === 'f16' || tensor.format === 'bf16') {
    const data = tensor.data.subarray(start, start + count);
    return { format: tensor.format, rows, columns, data };
  }
  const steps =
    tensor.steps.length === 1 ? tensor.steps : tensor.steps.subarray(firstRow, firstRow + rows);
  const symbols =
    tensor.format === 'u8'
      ? tensor.symbols.subarray(start, start + count)
      : sliceNibbles(tensor.symbols, start, count);
  return { format: tensor.format, rows, columns, symbols, zeroPoint: tensor.zeroPoint, steps };
}

function sliceNibbles(packed: Uint8Array, start: number, count: number): Uint8Array {
  const bytes = Math.ceil(count / 2);
  if (start % 2 === 0) return packed.subarray(start / 2, start / 2 + bytes);
  const first = (start - 1) / 2;
  return Uint8Array.from({ length: bytes }, (_, i) => {
    const low = (packed[first + i] ?? 0) >> 4;
    const isLastHalf = i === bytes - 1 && count % 2 === 1;
    const high = isLastHalf ? 0 : (packed[first + i + 1] ?? 0) & 15;
    return low | (high << 4);
  });
}
