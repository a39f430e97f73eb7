import type { TensorGrid, TensorRecipe } from '@entrofleet/codec';
import type { Checkpoint } from './checkpoint.reader.ts';
import type { MatrixInfo } from './encode.plan.ts';
import { searchStepFactor } from './rate.search.ts';

/**
 * How each matrix of a checkpoint is to be quantized. Plain JSON: it is made once, and then every
 * tensor can be quantized from it alone, in any order and in any process, with the same result.
 */
export interface QuantizationPlan {
  readonly tensors: readonly { readonly name: string; readonly grid: TensorGrid }[];
}

export interface PlanOptions {
  readonly checkpoint: Checkpoint;
  readonly matrices: readonly MatrixInfo[];
  readonly recipe: TensorRecipe;
  /** Any number gives the same plan. */
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the planning that is done, 0 to 1. */
  readonly onProgress?: (fraction: number, tensor: string) => void;
}

/**
 * Decides the grid of every matrix.
 * @throws CheckpointError; CodecError when the recipe's target is out of range; the signal's
 * reason.
 */
export async function planQuantization(options: PlanOptions): Promise<QuantizationPlan> {
  const { recipe, matrices, checkpoint, threads, signal } = options;
  if (recipe.kind === 'affine' || matrices.length === 0) {
    const grid: TensorGrid =
      recipe.kind === 'affine'
        ? { kind: 'affine', bits: recipe.bits }
        : { kind: 'rows', stepFactor: 1 };
    return { tensors: matrices.map(({ name }) => ({ name, grid })) };
  }
  const stepFactor = await searchStepFactor({
    checkpoint,
    matrices,
    targetBitsPerWeight: recipe.targetBitsPerWeight,
    threads,
    signal,
    onProgress: options.onProgress ?? (() => undefined),
  });
  return { tensors: matrices.map(({ name }) => ({ name, grid: { kind: 'rows', stepFactor } })) };
}

/** The grids of a plan by the name of their tensor. */
export function gridsByName(plan: QuantizationPlan): ReadonlyMap<string, TensorGrid> {
  return new Map(plan.tensors.map(({ name, grid }) => [name, grid]));
}
