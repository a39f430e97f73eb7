import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '@entrofleet/engine';
import type { ModelSpec } from '@entrofleet/protocol';
import { readTokenFile } from './token.file.ts';

const DEFAULT_FILE = 'eval-tokens.json';
const USE = {
  what: 'evaluation tokens',
  reason: 'BadEvaluationTokens',
  pointer: '/spec/evaluation/tokensPath',
} as const;

export interface EvaluationTokens {
  /** For people: where the rows came from. */
  readonly origin: string;
  readonly rows: readonly (readonly number[])[];
}

/** The file to evaluate on, or `undefined` when the rows must be sampled. */
export async function evaluationFile(source: {
  sourcePath: string;
  evaluation: ModelSpec['evaluation'];
}): Promise<string | undefined> {
  const { tokensPath } = source.evaluation;
  if (tokensPath !== undefined) return tokensPath;
  const path = join(source.sourcePath, DEFAULT_FILE);
  return (await stat(path).catch(() => undefined)) === undefined ? undefined : path;
}

/**
 * Reads rows of token ids, as many and as long as the spec wants and the model's context allows.
 * @throws SourceError `BadEvaluationTokens`.
 */
export async function readEvaluationTokens(
  path: string,
  { evaluation, config }: { evaluation: ModelSpec['evaluation']; config: ModelConfig },
): Promise<EvaluationTokens> {
  const { rows, rowTokens } = evaluation;
  const range = { skipRows: 0, rows, rowTokens };
  return { origin: path, rows: await readTokenFile(path, { use: USE, range, config }) };
}
