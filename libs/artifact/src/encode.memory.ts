import type { TensorInfo } from './checkpoint.reader.ts';
import { isMatrix } from './encode.plan.ts';
import { elementCount } from './tensor.shape.ts';

/** Node, its code and heap, and buffers that its garbage collector has not come to yet. */
const PROCESS_BYTES = 256 * 1024 * 1024;
/** Symbols, coded symbols, and these once more behind the row steps: a byte each at most. */
const CODED_BYTES_PER_WEIGHT = 3;
/** The float32 copy whose values are checked. */
const RAW_BYTES_PER_WEIGHT = 4;
/** Content, its deflated form, and the window of the compressor. */
const FILE_COPIES = 3;

/**
 * Bound of the physical memory of a process that encodes any group of these tensors and files. They
 * pass through one at a time, so it is that of the largest one: for a matrix of n weights of s
 * bytes each, n * (s + 3) bytes and 256 MiB for the process. Coded symbols take at most a byte each
 * on average, because eight bits for every symbol is one of the codes that the best is chosen from.
 * `make bench-memory` measures it.
 */
export function encodePeakBytes(of: {
  readonly files: readonly { readonly sizeBytes: number }[];
  readonly tensors: readonly TensorInfo[];
}): number {
  let largest = 0;
  for (const { sizeBytes } of of.files) largest = Math.max(largest, FILE_COPIES * sizeBytes);
  for (const tensor of of.tensors) {
    const more = isMatrix(tensor) ? CODED_BYTES_PER_WEIGHT : RAW_BYTES_PER_WEIGHT;
    largest = Math.max(largest, tensor.sizeBytes + more * elementCount(tensor.shape));
  }
  return PROCESS_BYTES + largest;
}
