import { open } from 'node:fs/promises';
import type { ModelConfig } from '@entrofleet/engine';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { SourceError } from './source.error.ts';

const FILE_BYTES_MAX = 64 * 1024 * 1024;

const rowsSchema = z.array(z.array(z.int().min(0)).min(2)).min(1);

/** What a token file is for: how a person is told that it is not good. */
export interface TokenUse {
  /** E.g. `evaluation tokens`. */
  readonly what: string;
  readonly reason: string;
  /** JSON pointer of the field that names the file. */
  readonly pointer: string;
}

/** Which rows of the file count, and how much of each. */
export interface TokenRange {
  readonly skipRows: number;
  readonly rows: number;
  readonly rowTokens: number;
}

/**
 * Reads rows of token ids, cut to the model's context.
 * @throws SourceError with the reason of `use`.
 */
export async function readTokenFile(
  path: string,
  options: { readonly use: TokenUse; readonly range: TokenRange; readonly config: ModelConfig },
): Promise<number[][]> {
  const { use, range, config } = options;
  const bad = (detail: string) => {
    const { reason, pointer } = use;
    return new SourceError({ reason, pointer, message: `${use.what} ${path} ${detail}` });
  };
  const json = await readJson(path).catch((error: unknown) => {
    throw bad(`cannot be read: ${messageOf(error)}`);
  });
  const parsed = rowsSchema.safeParse(json);
  if (!parsed.success) throw bad('must hold rows of at least two token ids: [[1, 2], ...]');
  const length = Math.min(range.rowTokens, config.contextLength);
  const kept = parsed.data
    .slice(range.skipRows, range.skipRows + range.rows)
    .map((row) => row.slice(0, length));
  if (kept.length === 0) throw bad(`has ${parsed.data.length} rows, all of which are skipped`);
  const outside = kept.flat().find((token) => token >= config.vocabularySize);
  if (outside === undefined) return kept;
  throw bad(`holds token ${outside}, but the model has ${config.vocabularySize} tokens`);
}

async function readJson(path: string): Promise<unknown> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new Error(`is larger than ${FILE_BYTES_MAX} bytes`);
    return JSON.parse(await file.readFile('utf8'));
  } finally {
    await file.close();
  }
}
