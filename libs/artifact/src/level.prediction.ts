import type { ResidualInput } from '@entrofleet/native';
import type { CodedTensorEntry } from './artifact.header.ts';
import type { SymbolWindow } from './symbol.windows.ts';

const RATIO_ONE = 2 ** 16;
const RATIO_MAX = 2 ** 22;

/** A tensor of the base and the one of the target that it predicts, with their steps. */
export interface TensorPair {
  readonly base: CodedTensorEntry;
  readonly target: CodedTensorEntry;
  readonly baseSteps: Float32Array;
  readonly targetSteps: Float32Array;
}

/** True for tensors of which one predicts the other, weight by weight. */
export function isPredictable(base: CodedTensorEntry, target: CodedTensorEntry): boolean {
  const [rows, columns] = base.shape;
  return rows === target.shape[0] && columns === target.shape[1] && base.bits === target.bits;
}

/** What the residual coder needs to know of one window of the target. */
export function windowPrediction(
  pair: TensorPair,
  window: SymbolWindow,
): Omit<ResidualInput, 'base'> {
  const { base, target } = pair;
  const { bits } = target;
  const [rows, columns] = target.shape;
  const weightsOf = (symbols: number) => (bits === 8 ? symbols : 2 * symbols);
  const first = weightsOf(window.firstSymbol);
  // The last symbol of an odd number of weights holds one.
  const weights = Math.min(weightsOf(window.symbols), rows * columns - first);
  const firstRow = Math.floor(first / columns);
  const rowCount = Math.ceil((first + weights) / columns) - firstRow;
  const shared = pair.baseSteps.length === 1 && pair.targetSteps.length === 1;
  return {
    bits,
    baseZeroPoint: base.zeroPoint,
    targetZeroPoint: target.zeroPoint,
    columns,
    firstColumn: first % columns,
    weights,
    ratios: Int32Array.from({ length: shared ? 1 : rowCount }, (_, row) =>
      stepRatio(stepOf(pair.baseSteps, firstRow + row), stepOf(pair.targetSteps, firstRow + row)),
    ),
  };
}

/**
 * Levels of the target to a level of the base, in units of 2^-16. The quotient of two floats is
 * rounded once, to a double, and so is the same on every machine.
 */
function stepRatio(base: number, target: number): number {
  const ratio = Math.floor((base / target) * RATIO_ONE + 0.5);
  return Math.max(-RATIO_MAX, Math.min(RATIO_MAX, ratio));
}

function stepOf(steps: Float32Array, row: number): number {
  return steps[steps.length === 1 ? 0 : row] ?? 1;
}
