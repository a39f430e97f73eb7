/** Number of elements; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** Views any tensor as a matrix: a vector is one row, further dimensions join the columns. */
export function matrixShape(shape: readonly number[]): { rows: number; columns: number } {
  const [first = 1, ...rest] = shape;
  return rest.length === 0
    ? { rows: 1, columns: first }
    : { rows: first, columns: elementCount(rest) };
}
