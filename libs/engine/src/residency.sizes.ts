/** How often each of the 256 byte values of a coded matrix occurs; sums to 1. */
export type SymbolShares = Float64Array;

export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
  /** Levels of 8 bits, one a symbol, or of 4 bits, two a symbol. */
  readonly bits: 8 | 4;
}

/** Rows and columns of a tile, to whose multiples a window matrix is padded. */
const TILE_ROWS = 16;
const TILE_COLUMNS = 32;
/** An entry of a list of exceptions. */
const EXCEPTION_BITS = 16;
/** More exceptions than these make a product slower than a wider window does. */
const EXCEPTION_SHARE_MAX = 0.03;
/** Rows stray from their matrix: estimates are this much above what its own shares give. */
const MARGIN = 1.02;
const STEP_BYTES = Float32Array.BYTES_PER_ELEMENT;
const HEADER_BYTES_PER_ROW = 4;

/** Bytes of a matrix with one symbol a byte, or a nibble pair, and a step per row. */
export function plainMatrixBytes({ rows, columns, bits }: MatrixShape): number {
  return Math.ceil((padded(rows, columns) * bits) / 8) + rows * (STEP_BYTES + HEADER_BYTES_PER_ROW);
}

/**
 * Bytes of a matrix in windows with exceptions, before any of it is decoded: from how often each
 * symbol occurs, which the lengths of its code tell within a few percent.
 */
export function windowMatrixBytes(shape: MatrixShape, shares: SymbolShares): number {
  const { rows, columns, bits } = shape;
  const levels = bits === 8 ? shares : nibbleShares(shares);
  const perWeight = Math.min(bits, ...windowCosts(levels));
  const bytes =
    (padded(rows, columns) * perWeight) / 8 + rows * (STEP_BYTES + HEADER_BYTES_PER_ROW);
  return Math.min(plainMatrixBytes(shape), Math.ceil(bytes * MARGIN));
}

/** Bits a weight, exceptions counted, of the best window of each width that is worth it. */
function windowCosts(levels: Float64Array): number[] {
  const costs: number[] = [];
  for (let bits = 2; 2 ** bits < levels.length; bits++) {
    const outside = 1 - mostWithin(levels, 2 ** bits);
    if (outside <= EXCEPTION_SHARE_MAX) costs.push(bits + EXCEPTION_BITS * outside);
  }
  return costs;
}

/** The largest share that `width` neighbouring levels have together. */
function mostWithin(levels: Float64Array, width: number): number {
  let within = levels.subarray(0, width).reduce((sum, share) => sum + share, 0);
  let most = within;
  for (let low = 1; low + width <= levels.length; low++) {
    within += (levels[low + width - 1] ?? 0) - (levels[low - 1] ?? 0);
    most = Math.max(most, within);
  }
  return Math.min(1, most);
}

/** Shares of the 16 levels that symbols hold in pairs. */
function nibbleShares(pairs: SymbolShares): Float64Array {
  const levels = new Float64Array(16);
  for (const [symbol, share] of pairs.entries()) {
    for (const level of [symbol & 15, symbol >> 4])
      levels[level] = (levels[level] ?? 0) + share / 2;
  }
  return levels;
}

function padded(rows: number, columns: number): number {
  const up = (count: number, unit: number) => Math.ceil(count / unit) * unit;
  return up(rows, TILE_ROWS) * up(columns, TILE_COLUMNS);
}
