import { type FileHandle, open, writeFile } from 'node:fs/promises';

const WORD_BYTES = 8;

/** Tensors in the form that codecs take, as libs/native/bench/symbol_set.h stores them. */
export interface SymbolTensors {
  readonly bits: 8 | 4;
  /** Bytes: a symbol of 8 bits or a pair of 4 bits each. */
  readonly tensors: readonly Uint8Array[];
}

export async function writeSymbols(path: string, { bits, tensors }: SymbolTensors): Promise<void> {
  const words = BigUint64Array.from(
    [bits, tensors.length, ...tensors.map((t) => t.length)],
    BigInt,
  );
  await writeFile(path, Buffer.concat([new Uint8Array(words.buffer), ...tensors]));
}

/** Reads the first tensors of a file. */
export async function readSymbols(path: string, tensorCount: number): Promise<SymbolTensors> {
  const file = await open(path, 'r');
  try {
    const [bits, count = 0] = await readWords(file, { index: 0, count: 2 });
    const sizes = await readWords(file, { index: 2, count: Math.min(count, tensorCount) });
    const tensors: Uint8Array[] = [];
    let position = WORD_BYTES * (2 + count);
    for (const size of sizes) {
      const bytes = new Uint8Array(size);
      await file.read(bytes, 0, size, position);
      tensors.push(bytes);
      position += size;
    }
    return { bits: bits === 4 ? 4 : 8, tensors };
  } finally {
    await file.close();
  }
}

async function readWords(
  file: FileHandle,
  { index, count }: { index: number; count: number },
): Promise<number[]> {
  const words = new BigUint64Array(count);
  await file.read(words, 0, words.byteLength, index * WORD_BYTES);
  return Array.from(words, Number);
}
