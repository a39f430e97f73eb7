import type { StatisticsNames, TensorGrid, TensorRecipe } from '@entrofleet/codec';
import { ArtifactError } from './artifact.error.ts';
import {
  type CalibratedTensor,
  type CalibrationStatistics,
  readFactor,
  readStatistics,
} from './calibration.statistics.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import type { MatrixInfo } from './encode.plan.ts';
import { type AllocatedMatrix, type AllocationTarget, allocateRows } from './rate.measurement.ts';
import { calibratedBlocks, layerCount, sensitiveBlocks } from './tensor.sensitivity.ts';

/**
 * How each matrix of a checkpoint is to be quantized. Plain JSON: it is made once, and then every
 * tensor can be quantized from it alone, in any order and in any process, with the same result.
 */
export interface QuantizationPlan {
  readonly tensors: readonly { readonly name: string; readonly grid: TensorGrid }[];
}

/** Statistics, and the folder that has their files. */
export interface Calibration {
  readonly statistics: CalibrationStatistics;
  readonly folder: string;
}

export interface PlanOptions {
  readonly checkpoint: Checkpoint;
  readonly matrices: readonly MatrixInfo[];
  readonly recipe: TensorRecipe;
  /** Any number gives the same plan. */
  readonly threads: number;
  readonly calibration?: Calibration | undefined;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the planning that is done, 0 to 1. */
  readonly onProgress?: (fraction: number, tensor: string) => void;
}

/**
 * Decides the grid of every matrix.
 *
 * A rate recipe meets its target in order-0 entropy of the integers, in bits per weight over all
 * matrices: what the coded symbols take, without the 16 bits of each row's step and without the
 * header. A quality recipe meets a mean output noise: 10 log10 of signal over noise power in the
 * mean over the model's functions, each relative to its own signal (see tensor.sensitivity.ts).
 * Without calibration a function's noise is that of its weights, with calibration that of its
 * outputs on the calibration tokens.
 * Both allocate by slope, so that no bit would buy more elsewhere.
 * @throws CheckpointError; the signal's reason.
 */
export async function planQuantization(options: PlanOptions): Promise<QuantizationPlan> {
  const { recipe, matrices, checkpoint, threads, signal } = options;
  if (recipe.kind === 'affine') {
    const grid: TensorGrid = { kind: 'affine', bits: recipe.bits };
    return { tensors: matrices.map(({ name }) => ({ name, grid })) };
  }
  if (matrices.length === 0) return { tensors: [] };
  const names = matrices.map(({ name }) => name);
  const context = { config: checkpoint.config, layers: layerCount(names) };
  const found = new Map(
    options.calibration?.statistics.tensors.map((tensor) => [tensor.name, tensor]),
  );
  const allocated: AllocatedMatrix[] = [];
  for (const matrix of matrices) {
    const { name, shape } = matrix;
    const blocks = sensitiveBlocks({ name, rows: shape[0] }, context);
    const plain = { matrix, blocks, spreads: null, readFactor: null };
    const calibrated = found.get(name);
    const folder = options.calibration?.folder;
    allocated.push(
      calibrated === undefined || folder === undefined
        ? plain
        : await calibratedMatrix(plain, { calibrated, folder }),
    );
  }
  const onProgress = options.onProgress ?? (() => undefined);
  const work = { checkpoint, matrices: allocated, threads, signal, onProgress };
  const blocks = await allocateRows(work, targetOf(recipe));
  return {
    tensors: names.map((name, i) => ({
      name,
      grid: {
        kind: 'rows',
        blocks: blocks[i] ?? [],
        statistics: found.get(name)?.statistics ?? null,
      },
    })),
  };
}

async function calibratedMatrix(
  { matrix, blocks }: AllocatedMatrix,
  { calibrated, folder }: { readonly calibrated: CalibratedTensor; readonly folder: string },
): Promise<AllocatedMatrix> {
  const [rows, columns] = matrix.shape;
  const { factor, spreads } = calibrated.statistics;
  const read = (names: StatisticsNames) => readStatistics(names, { folder, rows, columns });
  return {
    matrix,
    blocks: calibratedBlocks(blocks, { columns, calibrated }),
    spreads: (await read({ factor: null, spreads })).spreads,
    readFactor: factor === null ? null : () => readFactor(factor, { folder, columns }),
  };
}

function targetOf(recipe: Exclude<TensorRecipe, { kind: 'affine' }>): AllocationTarget {
  if (recipe.kind === 'rate') {
    return { kind: 'rate', bitsPerWeight: recipe.targetBitsPerWeight };
  }
  return { kind: 'noise', noise: Math.fround(10 ** (-recipe.targetSqnrDb / 10)) };
}

/** The grids of a plan by the name of their tensor. */
export function gridsByName(plan: QuantizationPlan): ReadonlyMap<string, TensorGrid> {
  return new Map(plan.tensors.map(({ name, grid }) => [name, grid]));
}

/** @throws ArtifactError `BadArgument` when the plan was made for other matrices. */
export function gridOf({ name }: MatrixInfo, grids: ReadonlyMap<string, TensorGrid>): TensorGrid {
  const grid = grids.get(name);
  if (grid !== undefined) return grid;
  throw new ArtifactError('BadArgument', `the quantization plan has no grid for "${name}"`);
}
