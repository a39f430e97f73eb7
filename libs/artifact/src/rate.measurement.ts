import {
  type Allocated,
  allocateFactors,
  CURVE_FACTORS,
  entropyBits,
  type MatrixInput,
  type MeasuredRates,
  meanOf,
  measureRates,
  quantizeTensor,
  type RateCurve,
} from '@entrofleet/codec';
import type { GramFactor, RowBlock } from '@entrofleet/native';
import { type Checkpoint, nativeFailure } from './checkpoint.reader.ts';
import { type MatrixInfo, sampleStride } from './encode.plan.ts';
import { elementBytes } from './safetensors.header.ts';
import type { SensitiveBlock } from './tensor.sensitivity.ts';

/** What an allocation is to reach: a rate, or a mean relative noise. */
export type AllocationTarget =
  | { readonly kind: 'rate'; readonly bitsPerWeight: number }
  | { readonly kind: 'noise'; readonly noise: number };

export interface AllocatedMatrix {
  readonly matrix: MatrixInfo;
  readonly blocks: readonly SensitiveBlock[];
  /** One per row, in proportion to which rows get their steps; null: by their own weights. */
  readonly spreads: Float32Array | null;
  /** Reads what errors are fed back by; null: they are not. */
  readonly readFactor: (() => Promise<GramFactor>) | null;
}

export interface AllocationWork {
  readonly checkpoint: Checkpoint;
  readonly matrices: readonly AllocatedMatrix[];
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (fraction: number, tensor: string) => void;
}

/** Passes after the first, each at the factors chosen so far. */
const CORRECTIONS_MAX = 4;
/** Relative to the target. A pass at 19 factors is most of the work. */
const TOLERANCE = 0.0005;
const CURVES_SHARE = 0.7;

/** One block of one matrix, its place in the sample. */
interface MeasuredBlock {
  readonly block: SensitiveBlock;
  readonly weights: number;
  readonly rates: MeasuredRates;
}
type MeasuredMatrix = readonly MeasuredBlock[];

/**
 * Chooses the steps of all rows of all matrices: measures rate and noise of every block over a
 * range of step factors, allocates, and corrects the target by what the chosen factors then
 * measure. Each pass streams over the matrices; of large ones it reads only every n-th row.
 * @returns blocks for each matrix, in order.
 * @throws CheckpointError; the signal's reason.
 */
export async function allocateRows(
  work: AllocationWork,
  target: AllocationTarget,
): Promise<RowBlock[][]> {
  const measured = await measureAll(work, {
    factorsOf: () => CURVE_FACTORS,
    withFeedback: false,
    progress: { from: 0, to: CURVES_SHARE },
  });
  const curves = measured.flat().map(curveOf);
  let aim = target;
  let best: { factors: number[]; miss: number } | undefined;
  for (let pass = 1; pass <= CORRECTIONS_MAX; pass++) {
    const factors = allocateFactors(curves, (allocated) => isFineEnough(allocated, aim));
    const at = (i: number) => CURVES_SHARE + ((1 - CURVES_SHARE) * i) / CORRECTIONS_MAX;
    const chosen = await measureAll(work, {
      factorsOf: (index) => [factors[index] ?? 1],
      withFeedback: true,
      progress: { from: at(pass - 1), to: at(pass) },
    });
    const reached = figureOf(allocatedBy(chosen), target);
    const wanted = wantedOf(target);
    const miss = Math.abs(reached / wanted - 1);
    if (best === undefined || miss < best.miss) best = { factors, miss };
    if (miss <= TOLERANCE) break;
    aim = moved(aim, { by: wanted - reached, over: wanted / reached });
  }
  return rowBlocks(measured, best?.factors ?? []);
}

function wantedOf(target: AllocationTarget): number {
  return target.kind === 'rate' ? target.bitsPerWeight : target.noise;
}

function figureOf(allocated: Allocated, { kind }: AllocationTarget): number {
  return kind === 'rate' ? allocated.bitsPerWeight : allocated.noise;
}

function isFineEnough(allocated: Allocated, aim: AllocationTarget): boolean {
  return aim.kind === 'rate'
    ? allocated.bitsPerWeight >= aim.bitsPerWeight
    : allocated.noise <= aim.noise;
}

/** Rates add up, noise multiplies. */
function moved(aim: AllocationTarget, change: { by: number; over: number }): AllocationTarget {
  if (aim.kind === 'rate') return { ...aim, bitsPerWeight: aim.bitsPerWeight + change.by };
  return { ...aim, noise: aim.noise * change.over };
}

function curveOf({ block, weights, rates }: MeasuredBlock): RateCurve {
  const sensitivity = block.sensitivity;
  return { weights, sensitivity, bits: rates.bits, noise: outputNoise(block, rates) };
}

/** Relative to the block's outputs, where calibration knows them. */
function outputNoise({ output }: SensitiveBlock, { noise, rms }: MeasuredRates): number[] {
  if (output === undefined) return [...noise];
  const gain = (output.weights * rms * rms) / output.power;
  return noise.map((part) => part * output.meanPivot * (output.power > 0 ? gain : 1));
}

/** Blocks of one matrix share a code, so that their counts are added before the entropy. */
function allocatedBy(measured: readonly MeasuredMatrix[]): Allocated {
  const parts = measured.flatMap((blocks) => {
    const counts = new Float64Array(256);
    for (const { rates } of blocks) {
      for (const [i, count] of (rates.histograms[0] ?? []).entries()) {
        counts[i] = (counts[i] ?? 0) + count;
      }
    }
    const bits = entropyBits(counts);
    return blocks.map(({ block, weights, rates }) => ({
      weights,
      sensitivity: block.sensitivity,
      bits,
      noise: outputNoise(block, rates)[0] ?? 0,
    }));
  });
  return meanOf(parts);
}

function rowBlocks(measured: readonly MeasuredMatrix[], factors: readonly number[]): RowBlock[][] {
  let next = 0;
  return measured.map((blocks) =>
    blocks.map(({ block, rates }) => ({
      rows: block.rows,
      stepFactor: factors[next++] ?? 1,
      sharedRms: block.shared ? rates.rms : 0,
    })),
  );
}

/** What one pass over the matrices measures. */
interface MeasuringPass {
  /** @param index of the block, counted over all matrices. */
  readonly factorsOf: (index: number) => readonly number[];
  /** Counts the symbols that error feedback gives, where a matrix has it, at the first factor. */
  readonly withFeedback: boolean;
  readonly progress: { readonly from: number; readonly to: number };
}

async function measureAll(work: AllocationWork, pass: MeasuringPass): Promise<MeasuredMatrix[]> {
  const { from, to } = pass.progress;
  const total = work.matrices.reduce((sum, { matrix }) => sum + matrix.sizeBytes, 0);
  let done = 0;
  let index = 0;
  const measured: MeasuredMatrix[] = [];
  for (const allocated of work.matrices) {
    const { matrix, blocks, readFactor } = allocated;
    const factor = pass.withFeedback && readFactor !== null ? await readFactor() : null;
    const parts: MeasuredBlock[] = [];
    let firstRow = 0;
    for (const block of blocks) {
      work.signal?.throwIfAborted();
      const stepFactors = pass.factorsOf(index++);
      const at = { firstRow, block, stepFactors, factor };
      const rates = await measureBlock(allocated, at, work).catch((cause: unknown) => {
        throw nativeFailure(matrix.name, cause);
      });
      parts.push({ block, weights: block.rows * matrix.shape[1], rates });
      firstRow += block.rows;
    }
    measured.push(parts);
    done += matrix.sizeBytes;
    work.onProgress(from + ((to - from) * done) / total, matrix.name);
  }
  return measured;
}

async function measureBlock(
  { matrix, spreads }: AllocatedMatrix,
  at: {
    readonly firstRow: number;
    readonly block: SensitiveBlock;
    readonly stepFactors: readonly number[];
    readonly factor: GramFactor | null;
  },
  { checkpoint, threads }: AllocationWork,
): Promise<MeasuredRates> {
  const { block, stepFactors, factor } = at;
  const range = { firstRow: at.firstRow, rows: block.rows };
  const sample = await readSample(checkpoint, matrix, range);
  const sampled = spreads === null ? undefined : sampledSpreads(spreads, matrix, range);
  const options = { stepFactors, shared: block.shared, spreads: sampled, threads };
  const rates = await measureRates(sample, options);
  if (factor === null) return rates;
  const sharedRms = block.shared ? rates.rms : 0;
  const blocks = [{ rows: sample.rows, stepFactor: stepFactors[0] ?? 1, sharedRms }];
  const grid = { kind: 'rows', blocks, statistics: null } as const;
  const statistics = { factor, spreads: sampled ?? null };
  const { histogram } = await quantizeTensor(sample, grid, { threads, statistics });
  return { ...rates, histograms: [histogram], bits: [entropyBits(histogram)] };
}

/** The spreads of the rows that {@link readSample} reads. */
function sampledSpreads(
  spreads: Float32Array,
  matrix: MatrixInfo,
  { firstRow, rows }: { firstRow: number; rows: number },
): Float32Array {
  const stride = sampleStride({ rows, columns: matrix.shape[1] });
  const sampled = Math.ceil(rows / stride);
  return Float32Array.from({ length: sampled }, (_, i) => spreads[firstRow + i * stride] ?? 0);
}

/** Every n-th of some rows of a matrix. */
async function readSample(
  checkpoint: Checkpoint,
  matrix: MatrixInfo,
  { firstRow, rows }: { firstRow: number; rows: number },
): Promise<MatrixInput> {
  const { name, type } = matrix;
  const columns = matrix.shape[1];
  const stride = sampleStride({ rows, columns });
  const rowBytes = columns * elementBytes(type);
  if (stride === 1) {
    const range = { offset: firstRow * rowBytes, sizeBytes: rows * rowBytes };
    return { weights: await checkpoint.readRange(name, range), type, rows, columns };
  }
  const sampled = Math.ceil(rows / stride);
  const weights = new Uint8Array(sampled * rowBytes);
  for (let i = 0; i < sampled; i++) {
    const range = { offset: (firstRow + i * stride) * rowBytes, sizeBytes: rowBytes };
    weights.set(await checkpoint.readRange(name, range), i * rowBytes);
  }
  return { weights, type, rows: sampled, columns };
}
