import { createHash } from 'node:crypto';
import { type ModelConfig, type PerplexityResult, perplexity } from '@entrofleet/engine';
import { CliError } from './cli.error.ts';
import { type LanguageModelOptions, withLanguageModel } from './opened.model.ts';
import type { ProgressLine } from './progress.line.ts';
import { readTokenRows } from './token.file.ts';

export interface MeasureOptions
  extends Pick<LanguageModelOptions<undefined>, 'memory' | 'form' | 'complain'> {
  /** Path of a JSON file of token rows. */
  readonly tokens: string;
  /** Use only so many of the first rows. */
  readonly rows: number | undefined;
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly progress?: ProgressLine;
  readonly label?: string;
}

export interface MeasuredPerplexity extends PerplexityResult {
  /** Of the rows as JSON without spaces. */
  readonly tokensSha256: string;
}

/**
 * Perplexity of an artifact or folder over the rows of a file.
 * @throws CliError `BadInput` when a row does not fit the model.
 */
export async function measurePerplexity(
  path: string,
  options: MeasureOptions,
): Promise<MeasuredPerplexity> {
  const { signal, progress, label = 'evaluate' } = options;
  return withLanguageModel(path, options, async (model) => {
    const rows = await readMeasuredRows(options, model.config);
    const measured = await perplexity(model, rows, {
      signal,
      onProgress: ({ rowsDone, rowsTotal }) => {
        progress?.update({ label, doneBytes: rowsDone, totalBytes: rowsTotal, unit: 'rows' });
      },
    });
    const tokensSha256 = createHash('sha256').update(JSON.stringify(rows)).digest('hex');
    return { ...measured, tokensSha256 };
  });
}

/**
 * The rows that {@link measurePerplexity} takes, checked.
 * @throws CliError `BadInput`.
 */
export async function readMeasuredRows(
  of: Pick<MeasureOptions, 'tokens' | 'rows'>,
  config: ModelConfig,
): Promise<readonly (readonly number[])[]> {
  const read = await readTokenRows(of.tokens, config);
  const rows = read.rows.slice(0, of.rows);
  const { contextLength } = config;
  const bad = rows.findIndex((row) => row.length < 2 || row.length > contextLength);
  if (bad === -1) return rows;
  throw new CliError(
    'BadInput',
    `row ${bad} of ${of.tokens} has ${rows[bad]?.length} tokens; the model takes rows of 2 to ` +
      `${contextLength}`,
  );
}
