import type { PlainTensor } from '@entrofleet/native';

/**
 * Weights in float32, row-major: `step * (symbol - zeroPoint)`, rounded once.
 * @returns `rows * columns` values; the tensor's own buffer when it is float32 already.
 */
export function dequantize(tensor: PlainTensor): Float32Array {
  if (tensor.format === 'f32') return tensor.data;
  if (tensor.format === 'f16') return Float32Array.from(tensor.data, fromFloat16);
  if (tensor.format === 'bf16')
    return new Float32Array(Uint32Array.from(tensor.data, widened).buffer);
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

function widened(bits: number): number {
  return (bits << 16) >>> 0;
}

function fromFloat16(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
