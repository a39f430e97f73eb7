// Speed of the entropy codec, as JSON, with ratios to a memory copy of the same bytes measured in
// the same run: `make bench-codec`.
import { native } from '@entrofleet/native';

const ROWS = 4096;
const COLUMNS = 4096;
const SEGMENT_SYMBOLS = 65_536;
const ROUNDS = 7;

const CASES = [
  { name: 'u8', bits: 8 },
  { name: 'u4-paper', bits: 4 },
  { name: 'rows, step 0.1 x rms', stepFactor: 0.1 },
  { name: 'rows, step 0.2 x rms', stepFactor: 0.2 },
  { name: 'rows, step 0.4 x rms', stepFactor: 0.4 },
] as const;

/** Sums of six uniform numbers, near enough to normal; the same in every run. */
function weights(): Uint8Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const values = Float32Array.from({ length: ROWS * COLUMNS }, () => {
    return 0.02 * (uniform() + uniform() + uniform() + uniform() + uniform() + uniform() - 3);
  });
  return new Uint8Array(values.buffer);
}

async function fastest(run: () => Promise<unknown> | unknown): Promise<number> {
  let bestSeconds = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await run();
    bestSeconds = Math.min(bestSeconds, (performance.now() - start) / 1000);
  }
  return bestSeconds;
}

function quantize(input: Uint8Array, of: (typeof CASES)[number]) {
  const base = { weights: input, type: 'f32', threads: 2 } as const;
  if ('bits' in of) return native.quantizeAffine({ ...base, bits: of.bits });
  const blocks = [{ rows: ROWS, stepFactor: of.stepFactor, sharedRms: 0 }];
  return native.quantizeRows({ ...base, rows: ROWS, columns: COLUMNS, blocks });
}

async function measure(input: Uint8Array, of: (typeof CASES)[number]) {
  const { symbols, entropyBitsPerWeight } = await quantize(input, of);
  const symbolCount = symbols.length;
  const output = new Uint8Array(symbolCount).fill(1);
  const encode = { symbols, segmentSymbols: SEGMENT_SYMBOLS };
  const coded = await native.encodeHuffman({ ...encode, threads: 2 });
  const decode = { ...coded, segmentSymbols: SEGMENT_SYMBOLS, symbolCount, output, seed: 1 };
  const copySeconds = await fastest(() => output.set(symbols));
  const encodeSeconds = await fastest(() => native.encodeHuffman({ ...encode, threads: 1 }));
  const oneSeconds = await fastest(() => native.decodeHuffman({ ...decode, threads: 1 }));
  const twoSeconds = await fastest(() => native.decodeHuffman({ ...decode, threads: 2 }));
  const bitsPerWeight = (8 * coded.payload.length) / (ROWS * COLUMNS);
  const speed = (seconds: number) => symbolCount / seconds / 1e9;
  return {
    case: of.name,
    entropyBitsPerWeight,
    bitsPerWeight,
    sizeOverEntropy: bitsPerWeight / entropyBitsPerWeight,
    memoryCopyGigabytesPerSecond: speed(copySeconds),
    encodeGigabytesPerSecond: speed(encodeSeconds),
    decodeGigabytesPerSecond: { threads1: speed(oneSeconds), threads2: speed(twoSeconds) },
    decodeOverMemoryCopy: copySeconds / oneSeconds,
    decodeThreads2Over1: oneSeconds / twoSeconds,
  };
}

const input = weights();
const results = [];
for (const of of CASES) results.push(await measure(input, of));
console.log(JSON.stringify({ benchmark: 'codec', isa: native.cpu().isa, results }, null, 2));
