import type { ResidentTensor } from '@entrofleet/native';

/**
 * Weights in float32, row-major: `step * (symbol - zeroPoint)`, rounded once.
 * @returns `rows * columns` values; the tensor's own buffer when it is float32 already.
 */
export function dequantize(tensor: ResidentTensor): Float32Array {
  if (tensor.format === 'f32') return tensor.data;
  const { rows, columns, symbols, steps, zeroPoint } = tensor;
  const values = new Float32Array(rows * columns);
  const nibbles = tensor.format === 'u4';
  for (let row = 0; row < rows; row++) {
    const step = steps[steps.length === 1 ? 0 : row] ?? 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      const byte = symbols[nibbles ? Math.floor(i / 2) : i] ?? 0;
      const symbol = nibbles ? (i % 2 === 0 ? byte & 15 : byte >> 4) : byte;
      values[i] = step * (symbol - zeroPoint);
    }
  }
  return values;
}
