import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '@entrofleet/engine';
import type { ModelSpec, VariantSpec } from '@entrofleet/protocol';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { SourceError } from './source.error.ts';

const FILE_BYTES_MAX = 64 * 1024 * 1024;
const DEFAULT_FILE = 'eval-tokens.json';

const EVALUATION = {
  what: 'evaluation',
  reason: 'BadEvaluationTokens',
  pointer: '/spec/evaluation/tokensPath',
};
const CALIBRATION = {
  what: 'calibration',
  reason: 'BadCalibrationTokens',
  pointer: '/spec/variants',
};

const rowsSchema = z.array(z.array(z.int().min(0)).min(2)).min(1);

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
  limits: { evaluation: ModelSpec['evaluation']; config: ModelConfig },
): Promise<EvaluationTokens> {
  const parsed = rowsSchema.safeParse(await readJson(path));
  if (!parsed.success) throw bad(path, 'must hold rows of at least two token ids: [[1, 2], ...]');
  const { rows, rowTokens } = limits.evaluation;
  const length = Math.min(rowTokens, limits.config.contextLength);
  const kept = parsed.data.slice(0, rows).map((row) => row.slice(0, length));
  const { vocabularySize } = limits.config;
  const outside = kept.flat().find((token) => token >= vocabularySize);
  if (outside !== undefined) {
    throw bad(path, `holds token ${outside}, but the model has ${vocabularySize} tokens`);
  }
  return { origin: path, rows: kept };
}

/**
 * Reads all rows of token ids but the first, cut to the model's context.
 * @throws SourceError `BadCalibrationTokens`.
 */
export async function readCalibrationTokens(
  { tokensPath, skipRows }: NonNullable<VariantSpec['calibration']>,
  { contextLength, vocabularySize }: ModelConfig,
): Promise<readonly (readonly number[])[]> {
  const parsed = rowsSchema.safeParse(await readJson(tokensPath, CALIBRATION));
  if (!parsed.success)
    throw bad(tokensPath, 'must hold rows of at least two token ids', CALIBRATION);
  const rows = parsed.data.slice(skipRows).map((row) => row.slice(0, contextLength));
  if (rows.length === 0) throw bad(tokensPath, `has only ${parsed.data.length} rows`, CALIBRATION);
  const outside = rows.flat().find((token) => token >= vocabularySize);
  if (outside === undefined) return rows;
  throw bad(
    tokensPath,
    `holds token ${outside}, but the model has ${vocabularySize} tokens`,
    CALIBRATION,
  );
}

async function readJson(path: string, use = EVALUATION): Promise<unknown> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > FILE_BYTES_MAX) throw new Error(`is larger than ${FILE_BYTES_MAX} bytes`);
      return JSON.parse(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw bad(path, `cannot be read: ${messageOf(error)}`, use);
  }
}

function bad(path: string, detail: string, use = EVALUATION): SourceError {
  const { what, reason, pointer } = use;
  return new SourceError({ reason, message: `${what} tokens ${path} ${detail}`, pointer });
}
