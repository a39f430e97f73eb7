import { open } from 'node:fs/promises';
import { CliError, messageOf } from './cli.error.ts';

const FILE_BYTES_MAX = 64 * 1024 * 1024;

/** One sequence of token ids, or several. */
export interface TokenRows {
  readonly rows: readonly (readonly number[])[];
  /** False when the file held one sequence without a list around it. */
  readonly isList: boolean;
}

/**
 * Reads token ids: `[1, 2]`, `[[1, 2], [3]]`, or an object with either under `input_ids`.
 * @throws CliError `BadInput`, also when a token is not in the vocabulary.
 */
export async function readTokenRows(
  path: string,
  limits: { vocabularySize: number },
): Promise<TokenRows> {
  return parseTokenRows(await readTokenJson(path), { path, ...limits });
}

/** {@link readTokenRows} without the file. */
export function parseTokenRows(
  json: unknown,
  { path, vocabularySize }: { path: string; vocabularySize: number },
): TokenRows {
  const isWrapped = typeof json === 'object' && json !== null && 'input_ids' in json;
  const value: unknown = isWrapped ? json.input_ids : json;
  const isList = Array.isArray(value) && Array.isArray(value[0]);
  const rows: unknown[] = isList ? value : [value];
  return { isList, rows: rows.map((row) => tokenRow(row, { path, vocabularySize })) };
}

function tokenRow(
  row: unknown,
  { path, vocabularySize }: { path: string; vocabularySize: number },
): number[] {
  if (!Array.isArray(row) || row.length === 0) {
    throw new CliError(
      'BadInput',
      `${path} holds no token ids; write [1, 2, ...], [[1, 2, ...], ...] or {"input_ids": ...}`,
    );
  }
  return row.map((token: unknown) => {
    if (typeof token === 'number' && Number.isInteger(token) && token >= 0) {
      if (token < vocabularySize) return token;
    }
    const shown = JSON.stringify(token)?.slice(0, 40);
    throw new CliError(
      'BadInput',
      `${path} holds ${shown}, which is no token of the model: use integers from 0 to ` +
        `${vocabularySize - 1}`,
    );
  });
}

/** @throws CliError `BadInput` when the file cannot be read or is no JSON. */
export async function readTokenJson(path: string): Promise<unknown> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
      return JSON.parse(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (cause) {
    const message = `${path} cannot be read as JSON: ${messageOf(cause)}`;
    throw new CliError('BadInput', message, { cause });
  }
}
