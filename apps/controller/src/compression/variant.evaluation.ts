import { createHash } from 'node:crypto';
import { type EvaluationRecord, openArtifact } from '@entrofleet/artifact';
import {
  createProbe,
  type LanguageModel,
  loadModel,
  perplexity,
  sampleRows,
  type WeightSource,
} from '@entrofleet/engine';
import type { EvaluateTask, VariantEvaluation } from './compressor.messages.ts';
import { cachedEvaluation, type Evaluated, evaluationIdentity } from './evaluation.cache.ts';
import { evaluationFile, readEvaluationTokens } from './evaluation.tokens.ts';
import { type OpenSource, openSource } from './source.opening.ts';

/** Share of the work that goes to the source, when it was not measured before. */
const SOURCE_EVALUATED = 0.5;
const SAMPLING_BUDGET_MS = 60_000;
const SAMPLING_SEED = 20_250_502;

type OnProgress = (fraction: number) => void;

/**
 * Measures what was really written: the file is read back, its perplexity taken on the same rows as
 * the source's, and its probe recorded. It holds one of the two models at a time.
 * @throws SourceError, CheckpointError, EngineError, ArtifactError
 */
export async function evaluateTask(
  task: EvaluateTask,
  onProgress: OnProgress,
): Promise<VariantEvaluation> {
  const source = await openSource(task.sourcePath, { threads: task.threads });
  try {
    const evaluated = await evaluateSource(task, source);
    onProgress(SOURCE_EVALUATED);
    return await measureVariant(task, evaluated, onProgress);
  } finally {
    await source.checkpoint.close();
  }
}

/** Once for all variants of a source: the result is kept on disk. */
async function evaluateSource(task: EvaluateTask, source: OpenSource): Promise<Evaluated> {
  const { sourcePath, evaluation } = task;
  const tokensFile = await evaluationFile({ sourcePath, evaluation });
  const { rows, rowTokens } = evaluation;
  const identity = await evaluationIdentity({ sourcePath, tokensFile, rows, rowTokens });
  return cachedEvaluation({ folder: task.evaluationFolder, identity }, () =>
    withModel(source.checkpoint, task.threads, async (model) => {
      const tokens =
        tokensFile === undefined
          ? await sampledTokens(model, task)
          : await readEvaluationTokens(tokensFile, { evaluation, config: source.config });
      const measured = await perplexity(model, tokens.rows);
      return {
        origin: tokens.origin,
        rows: tokens.rows.map((row) => [...row]),
        tokens: measured.tokens,
        sourcePerplexity: measured.perplexity,
      };
    }),
  );
}

async function sampledTokens(
  model: LanguageModel,
  task: EvaluateTask,
): Promise<{ origin: string; rows: readonly (readonly number[])[] }> {
  const rows = await sampleRows(model, {
    rows: task.evaluation.rows,
    rowTokens: Math.min(task.evaluation.rowTokens, model.config.contextLength),
    seed: SAMPLING_SEED,
    timeBudgetMs: SAMPLING_BUDGET_MS,
  });
  return { origin: 'sampled from the source model', rows };
}

async function measureVariant(
  task: EvaluateTask,
  evaluated: Evaluated,
  onProgress: OnProgress,
): Promise<VariantEvaluation> {
  const artifact = await openArtifact(task.draftPath);
  try {
    const source: WeightSource = {
      config: artifact.config,
      tensorNames: artifact.tensorNames,
      readResident: (name) => artifact.readResident(name, { threads: task.threads }),
    };
    return await withModel(source, task.threads, async (model) => {
      const measured = await perplexity(model, evaluated.rows, {
        onProgress: ({ rowsDone, rowsTotal }) =>
          onProgress(SOURCE_EVALUATED + (1 - SOURCE_EVALUATED) * (rowsDone / rowsTotal)),
      });
      await artifact.writeEvaluation(record(artifact.ref.id, measured.perplexity, evaluated));
      return {
        memoryBytes: artifact.memoryBytes,
        contextLength: model.config.contextLength,
        kvCacheBytesPerToken: model.kvCacheBytes(1),
        quality: comparison(measured.perplexity, evaluated),
        probe: await createProbe(model),
      };
    });
  } finally {
    await artifact.close();
  }
}

function comparison(variantPerplexity: number, evaluated: Evaluated): VariantEvaluation['quality'] {
  return {
    perplexity: variantPerplexity,
    sourcePerplexity: evaluated.sourcePerplexity,
    perplexityRatio: variantPerplexity / evaluated.sourcePerplexity,
    evaluation: {
      origin: evaluated.origin,
      rows: evaluated.rows.length,
      tokens: evaluated.tokens,
    },
  };
}

/** Whoever copies the artifact out of the blob store sees its quality. */
function record(
  artifact: string,
  variantPerplexity: number,
  { origin, rows, tokens, sourcePerplexity }: Evaluated,
): EvaluationRecord {
  const tokensSha256 = createHash('sha256').update(JSON.stringify(rows)).digest('hex');
  return {
    artifact,
    perplexity: variantPerplexity,
    sourcePerplexity,
    origin,
    rows: rows.length,
    tokens,
    tokensSha256,
  };
}

async function withModel<T>(
  source: WeightSource,
  threads: number,
  use: (model: LanguageModel) => Promise<T>,
): Promise<T> {
  const model = await loadModel(source, { threads });
  try {
    return await use(model);
  } finally {
    model.close();
  }
}
