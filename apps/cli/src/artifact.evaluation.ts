import { basename } from 'node:path';
import { type EvaluationRecord, openArtifact } from '@entrofleet/artifact';
import { measurePerplexity } from './perplexity.measure.ts';
import { ProgressLine } from './progress.line.ts';

/** Measures perplexity of a source and of the artifact made of it, and keeps it in the file. */
export async function evaluateArtifact(evaluation: {
  readonly folder: string;
  readonly output: string;
  /** Path of a JSON file of token rows. */
  readonly tokens: string;
  /** Use only so many of the first rows. */
  readonly rows: number | undefined;
  readonly threads: number;
  readonly signal: AbortSignal;
}): Promise<EvaluationRecord> {
  const { folder, output, tokens } = evaluation;
  const measure = async (path: string, label: string) => {
    const progress = new ProgressLine(process.stderr);
    return measurePerplexity(path, { ...evaluation, progress, label }).finally(() => {
      progress.end();
    });
  };
  const source = await measure(folder, 'source');
  const own = await measure(output, 'artifact');
  const reader = await openArtifact(output);
  try {
    const record: EvaluationRecord = {
      artifact: reader.ref.id,
      perplexity: own.perplexity,
      sourcePerplexity: source.perplexity,
      origin: basename(tokens),
      rows: own.rows,
      tokens: own.tokens,
      tokensSha256: own.tokensSha256,
    };
    await reader.writeEvaluation(record);
    return record;
  } finally {
    await reader.close();
  }
}
