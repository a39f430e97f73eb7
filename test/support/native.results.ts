/**
 * Prints, as one line of JSON, what the native addon computes from fixed inputs with each
 * instruction set of this machine. The same program runs on x64 and, emulated, on arm64; see
 * test/integration/native.arm.test.ts.
 */
import { createHash } from 'node:crypto';
import { ISA_NAMES, native } from '@entrofleet/native';
import { tinyGeometry, tinyTensors } from '../../libs/engine/test/reference.model.ts';

export interface NativeResults {
  readonly arch: string;
  readonly features: readonly string[];
  readonly isas: readonly IsaResults[];
}

export interface IsaResults {
  readonly isa: string;
  /** SHA-256 of results that must be the same to the last bit. */
  readonly exact: Readonly<Record<string, string>>;
  /** Logits of a model by the format of its weights: those of a prompt, then of decoding. */
  readonly logits: Readonly<Record<string, readonly number[]>>;
}

const PROMPT_TOKENS = 19;
const DECODED_TOKENS = 4;
const SEGMENT_SYMBOLS = 16_384;

function sampleWeights(count: number): Uint8Array {
  let state = 11;
  const weights = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) ** 5;
  });
  return new Uint8Array(weights.buffer);
}

const digest = (...parts: readonly (Uint8Array | Float32Array)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

async function codecDigests(): Promise<Record<string, string>> {
  const [rows, columns, threads] = [45, 1001, 2];
  const weights = sampleWeights(rows * columns);
  const byte = await native.quantizeAffine({ weights, type: 'f32', bits: 8, threads });
  const nibble = await native.quantizeAffine({ weights, type: 'f32', bits: 4, threads });
  const blocks = [{ rows, stepFactor: 0.3, sharedRms: 0 }];
  const byRow = await native.quantizeRows({ weights, type: 'f32', rows, columns, blocks, threads });
  const { symbols } = byRow;
  const lanes = await native.encodeLanes({ symbols, segmentSymbols: SEGMENT_SYMBOLS, threads });
  const huffman = await native.encodeHuffman({ symbols, segmentSymbols: SEGMENT_SYMBOLS, threads });
  const shape = { segmentSymbols: SEGMENT_SYMBOLS, symbolCount: symbols.length, threads };
  const fromLanes = new Uint8Array(symbols.length);
  await native.decodeLanes({ ...shape, ...lanes, output: fromLanes });
  const fromHuffman = new Uint8Array(symbols.length);
  await native.decodeHuffman({ ...shape, ...huffman, output: fromHuffman });
  return {
    'affine u8': digest(byte.symbols, byte.steps),
    'affine u4': digest(nibble.symbols, nibble.steps),
    'row-wise u8': digest(symbols, byRow.steps),
    'lanes encoded': digest(lanes.payload, lanes.code),
    'lanes decoded': digest(fromLanes),
    'Huffman encoded': digest(huffman.payload, huffman.codeLengths),
    'Huffman decoded': digest(fromHuffman),
  };
}

interface ModelLogits {
  readonly all: readonly number[];
  readonly first: Float32Array;
}

async function logitsOf(format: 'f32' | 'u8' | 'u4'): Promise<ModelLogits> {
  const geometry = tinyGeometry();
  const tensors = tinyTensors(geometry, { format, stepPerRow: true });
  const model = native.createModel(geometry, tensors, { threads: 2 });
  const tokens = Uint32Array.from(
    { length: PROMPT_TOKENS + DECODED_TOKENS },
    (_, i) => (i * 37 + 5) % geometry.vocabularySize,
  );
  try {
    const first = await model.createSession(1).forward(tokens.subarray(0, 1), 'last');
    const session = model.createSession(tokens.length);
    const all = [...(await session.forward(tokens.subarray(0, PROMPT_TOKENS), 'all'))];
    for (let i = PROMPT_TOKENS; i < tokens.length; i++) {
      all.push(...(await session.forward(tokens.subarray(i, i + 1), 'last')));
    }
    return { all, first };
  } finally {
    model.close();
  }
}

const isas: IsaResults[] = [];
for (const isa of ISA_NAMES) {
  if (!native.forceIsa(isa)) continue;
  const exact = await codecDigests();
  const logits: Record<string, readonly number[]> = {};
  for (const format of ['f32', 'u8', 'u4'] as const) {
    const { all, first } = await logitsOf(format);
    logits[format] = all;
    // The first token attends to itself alone: of its sums only those of float weights are rounded.
    if (format !== 'f32') exact[`${format} model`] = digest(first);
  }
  isas.push({ isa, exact, logits });
}
const results: NativeResults = { arch: process.arch, features: native.cpu().features, isas };
process.stdout.write(`${JSON.stringify(results)}\n`);
