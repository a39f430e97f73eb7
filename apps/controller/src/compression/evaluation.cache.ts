import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from './durable.file.ts';
import { fileStamps, folderStamps } from './source.stamp.ts';

/** Raised when the way of evaluating changes, so that old entries are not found any more. */
const VERSION = 1;

const evaluatedSchema = z.strictObject({
  origin: z.string(),
  rows: z.array(z.array(z.int().min(0)).min(2)).min(1),
  tokens: z.int().min(1),
  sourcePerplexity: z.number().min(1),
});
/** The rows to evaluate on, and what the source model achieves on them. */
export type Evaluated = z.infer<typeof evaluatedSchema>;

/**
 * Identity of what an evaluation depends on. Files are told apart by size, time and inode: their
 * content would take as long to hash as to evaluate.
 */
export async function evaluationIdentity(of: {
  sourcePath: string;
  tokensFile: string | undefined;
  rows: number;
  rowTokens: number;
}): Promise<string> {
  const files = [
    ...(await folderStamps(of.sourcePath)),
    ...(await fileStamps(of.tokensFile === undefined ? [] : [of.tokensFile])),
  ];
  const identity = JSON.stringify([VERSION, files, of.rows, of.rowTokens]);
  return createHash('sha256').update(identity).digest('hex');
}

/** A missing or damaged entry is computed and written; several processes may do it at once. */
export async function cachedEvaluation(
  at: { folder: string; identity: string },
  compute: () => Promise<Evaluated>,
): Promise<Evaluated> {
  const path = join(at.folder, `${at.identity}.json`);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  const held = text === undefined ? undefined : parse(text);
  if (held !== undefined) return held;
  const evaluated = await compute();
  await writeDurably(path, JSON.stringify(evaluated));
  return evaluated;
}

function parse(text: string): Evaluated | undefined {
  try {
    return evaluatedSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
