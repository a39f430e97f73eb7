import { createHash } from 'node:crypto';
import type { ModelConfig } from '@entrofleet/engine';
import { CalibrationError } from './calibration.error.ts';

/** Tokens whose activations exist at one time, and of the longest sequence. */
const BATCH_TOKENS = 2048;

/** Consecutive whole sequences. */
export interface SequenceBatch {
  readonly firstToken: number;
  readonly tokens: number;
  readonly lengths: Uint32Array;
}

/**
 * Checks rows of token ids.
 * @throws CalibrationError `BadTokens`.
 */
export function requireRows(
  rows: readonly (readonly number[])[],
  { vocabularySize, contextLength }: ModelConfig,
): void {
  if (rows.length === 0) throw bad('there are none');
  for (const [index, row] of rows.entries()) {
    if (row.length === 0 || row.length > contextLength) {
      throw bad(`row ${index} has ${row.length} tokens; use 1 to ${contextLength}`);
    }
    const outside = row.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
    if (outside !== undefined) {
      throw bad(`row ${index} holds ${outside}; the model has tokens 0 to ${vocabularySize - 1}`);
    }
  }
}

function bad(message: string): CalibrationError {
  return new CalibrationError('BadTokens', `calibration tokens: ${message}`);
}

/** Cuts rows that are longer than a batch into consecutive sequences, each read from position 0. */
export function cutRows(rows: readonly (readonly number[])[]): (readonly number[])[] {
  return rows.flatMap((row) => {
    const pieces: (readonly number[])[] = [];
    for (let begin = 0; begin < row.length; begin += BATCH_TOKENS) {
      pieces.push(row.slice(begin, begin + BATCH_TOKENS));
    }
    return pieces;
  });
}

/** SHA-256 of the rows as JSON without white space. */
export function rowsSha256(rows: readonly (readonly number[])[]): string {
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
}

/** Cuts rows into batches, in order. */
export function batchesOf(rows: readonly (readonly number[])[]): SequenceBatch[] {
  const batches: SequenceBatch[] = [];
  let lengths: number[] = [];
  let firstToken = 0;
  let tokens = 0;
  const close = () => {
    if (tokens > 0) batches.push({ firstToken, tokens, lengths: Uint32Array.from(lengths) });
    firstToken += tokens;
    tokens = 0;
    lengths = [];
  };
  for (const row of rows) {
    if (tokens + row.length > BATCH_TOKENS) close();
    lengths.push(row.length);
    tokens += row.length;
  }
  close();
  return batches;
}
