import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EncodedArtifact,
  type EncodeOptions,
  encodeArtifact,
  openArtifact,
  openCheckpoint,
} from '@entrofleet/artifact';
import { readSymbols, type SymbolTensors, writeSymbols } from './symbol.file.ts';

const THREADS = 2;
/** Tensors of which a generated case's file is made: enough for its overhead per symbol. */
const FILE_TENSORS = 2;

export interface Geometry {
  readonly tensors: number;
  readonly rows: number;
  readonly columns: number;
}

/** A case on disk, ready to be measured. */
export interface PreparedCase {
  readonly name: string;
  readonly symbolsPath: string;
  /** Bits per symbol that the artifact file takes besides its segments: header, hashes, steps. */
  readonly overheadBits: number;
}

type Recipe = EncodeOptions['recipe'];

/** Generates symbols and encodes some of their tensors as an artifact. */
export async function prepareGenerated(
  work: { folder: string; program: string },
  spec: { bits: 8 | 4; entropyBits: number } & Geometry,
): Promise<PreparedCase> {
  const name = `u${spec.bits} at ${spec.entropyBits}`;
  const symbolsPath = join(work.folder, 'generated.symbols');
  const words = {
    bits: spec.bits,
    entropy: spec.entropyBits,
    tensors: spec.tensors,
    rows: spec.rows,
    columns: spec.columns,
    threads: THREADS,
    symbols: symbolsPath,
  };
  const options = Object.entries(words).flatMap(([key, value]) => [`--${key}`, String(value)]);
  execFileSync(work.program, ['generate', ...options], { stdio: 'inherit' });
  const checkpoint = join(work.folder, 'generated');
  await writeLevels(checkpoint, await readSymbols(symbolsPath, FILE_TENSORS), spec);
  const encoded = await encode(checkpoint, { kind: 'affine', bits: spec.bits });
  await rm(checkpoint, { recursive: true });
  return { name, symbolsPath, overheadBits: encoded.overheadBits };
}

/** Takes the symbols of a checkpoint's artifact. */
export async function prepareModel(
  work: { folder: string },
  model: { checkpoint: string; recipe: Recipe; name: string },
): Promise<PreparedCase> {
  const path = join(work.folder, 'model.artifact');
  const { overheadBits } = await encode(model.checkpoint, model.recipe, path);
  const artifact = await openArtifact(path);
  const tensors: Uint8Array[] = [];
  try {
    for (const name of artifact.tensorNames) {
      const tensor = await artifact.readResident(name, { threads: THREADS });
      if ('symbols' in tensor) tensors.push(tensor.symbols);
    }
  } finally {
    await artifact.close();
  }
  await rm(path);
  const symbolsPath = join(work.folder, 'model.symbols');
  await writeSymbols(symbolsPath, { bits: 8, tensors });
  return { name: model.name, symbolsPath, overheadBits };
}

async function encode(
  folder: string,
  recipe: Recipe,
  path: string = join(folder, 'file.artifact'),
): Promise<{ overheadBits: number }> {
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional' });
  try {
    const encoded = await encodeArtifact({ checkpoint, recipe, path, threads: THREADS });
    return { overheadBits: await overheadBitsOf(path, encoded) };
  } finally {
    await checkpoint.close();
  }
}

/** The whole file but segments, carried files and tensors that are stored raw. */
async function overheadBitsOf(path: string, { totals }: EncodedArtifact): Promise<number> {
  const artifact = await openArtifact(path);
  const { ref, files, tensors } = artifact.header;
  await artifact.close();
  let bytes = ref.sizeBytes;
  for (const file of files) bytes -= file.payloadBytes;
  for (const tensor of tensors) {
    if (tensor.codec === 'raw') bytes -= tensor.payloadBytes;
    else for (const size of tensor.segmentSizes) bytes -= size;
  }
  return (bytes * 8) / totals.codedWeights;
}

/** A checkpoint whose weights are the symbols' levels, which the paper's quantizer finds again. */
async function writeLevels(
  folder: string,
  { bits, tensors }: SymbolTensors,
  { rows, columns }: Geometry,
): Promise<void> {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [index, symbols] of tensors.entries()) {
    const levels = bits === 8 ? bf16Levels(symbols) : bf16Levels(nibbles(symbols));
    const end = offset + levels.length;
    const name = `model.layers.${index}.mlp.gate_proj.weight`;
    header[name] = { dtype: 'BF16', shape: [rows, columns], data_offsets: [offset, end] };
    parts.push(levels);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), '{}');
  await writeFile(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]));
}

function nibbles(pairs: Uint8Array): Uint8Array {
  const symbols = new Uint8Array(2 * pairs.length);
  for (const [i, pair] of pairs.entries()) {
    symbols[2 * i] = pair & 15;
    symbols[2 * i + 1] = pair >> 4;
  }
  return symbols;
}

/** Levels below zero, too, so that the grid is asymmetric: bf16 holds integers up to 256. */
function bf16Levels(symbols: Uint8Array): Uint8Array {
  const middle = Math.floor(symbols.reduce((most, symbol) => Math.max(most, symbol), 0) / 2);
  const floats = Float32Array.from({ length: 256 }, (_, symbol) => symbol - middle);
  const patterns = Uint16Array.from(new Uint32Array(floats.buffer), (pattern) => pattern >>> 16);
  const levels = new Uint16Array(symbols.length);
  for (const [i, symbol] of symbols.entries()) levels[i] = patterns[symbol] ?? 0;
  return new Uint8Array(levels.buffer);
}
