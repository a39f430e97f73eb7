import type { ResidentTensor } from '@entrofleet/native';

/** Whether two tensors of one shape are stored alike. Of matrices in native code it cannot tell. */
export function isSameTensor(a: ResidentTensor, b: ResidentTensor): boolean {
  if (a.format === 'native' || b.format === 'native' || a.format !== b.format) return false;
  if ('data' in a || 'data' in b) return 'data' in a && 'data' in b && sameBytes(a.data, b.data);
  const isSameGrid = a.zeroPoint === b.zeroPoint && sameBytes(a.steps, b.steps);
  return isSameGrid && sameBytes(a.symbols, b.symbols);
}

function sameBytes(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
