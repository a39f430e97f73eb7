import { type EncodedArtifact, encodeArtifact, openArtifact } from '@entrofleet/artifact';
import {
  createProbe,
  kvCacheBytes,
  type LanguageModel,
  loadModel,
  perplexity,
  sampleRows,
  type WeightSource,
} from '@entrofleet/engine';
import { LIMITS, parseRecipe, type QualityReport } from '@entrofleet/protocol';
import type { Compressed, CompressorProgress, CompressTask } from './compressor.messages.ts';
import { cachedEvaluation, type Evaluated, evaluationIdentity } from './evaluation.cache.ts';
import { evaluationFile, readEvaluationTokens } from './evaluation.tokens.ts';
import { SourceError } from './source.error.ts';
import { type OpenSource, openSource } from './source.opening.ts';

/** Share of the progress bar each step gets. */
const ENCODED = 0.6;
const SOURCE_EVALUATED = 0.8;
const SAMPLING_BUDGET_MS = 60_000;
const SAMPLING_SEED = 20_250_502;

type OnProgress = (progress: Omit<CompressorProgress, 'report'>) => void;

/**
 * Encodes one variant to `draftPath`, then measures what was really written: the file is read
 * back, its perplexity taken on the same rows as the source's, and its probe recorded.
 * @throws SourceError, CheckpointError, EngineError, ArtifactError
 */
export async function compressVariant(
  task: CompressTask,
  onProgress: OnProgress,
): Promise<Compressed> {
  const recipe = parseRecipe(task.recipe);
  if (recipe === undefined) {
    const message = `unknown recipe "${task.recipe}"`;
    throw new SourceError({ reason: 'UnknownRecipe', message, pointer: '/spec/variants' });
  }
  const source = await openSource(task.sourcePath, { threads: task.threads });
  try {
    const encoded = await encodeArtifact({
      checkpoint: source.checkpoint,
      recipe,
      path: task.draftPath,
      threads: task.threads,
      chunkSizeBytes: LIMITS.chunkSizeBytes,
      onProgress: ({ doneBytes, totalBytes }) => {
        onProgress({ phase: 'Compressing', progress: (doneBytes / totalBytes) * ENCODED });
      },
    });
    onProgress({ phase: 'Evaluating', progress: ENCODED });
    const evaluated = await evaluateSource(task, source);
    onProgress({ phase: 'Evaluating', progress: SOURCE_EVALUATED });
    return await measureVariant(task, { encoded, evaluated }, onProgress);
  } finally {
    await source.checkpoint.close();
  }
}

/** Once for all variants of a source: the result is kept on disk. */
async function evaluateSource(task: CompressTask, source: OpenSource): Promise<Evaluated> {
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
  task: CompressTask,
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
  task: CompressTask,
  of: { encoded: EncodedArtifact; evaluated: Evaluated },
  onProgress: OnProgress,
): Promise<Compressed> {
  const { encoded, evaluated } = of;
  const artifact = await openArtifact(task.draftPath);
  try {
    const source: WeightSource = {
      config: artifact.config,
      tensorNames: artifact.tensorNames,
      readResident: (name) => artifact.readResident(name, { threads: task.threads }),
    };
    return await withModel(source, task.threads, async (model) => {
      const measured = await perplexity(model, evaluated.rows, {
        onProgress: ({ rowsDone, rowsTotal }) => {
          const done = rowsDone / rowsTotal;
          const progress = SOURCE_EVALUATED + (1 - SOURCE_EVALUATED) * done;
          onProgress({ phase: 'Evaluating', progress });
        },
      });
      return {
        ref: encoded.ref,
        memoryBytes: artifact.memoryBytes,
        contextLength: model.config.contextLength,
        kvCacheBytesPerToken: kvCacheBytes(model.config, 1),
        quality: qualityReport(task, { encoded, evaluated, perplexity: measured.perplexity }),
        probe: await createProbe(model),
      };
    });
  } finally {
    await artifact.close();
  }
}

function qualityReport(
  task: CompressTask,
  of: { encoded: EncodedArtifact; evaluated: Evaluated; perplexity: number },
): QualityReport {
  const { encoded, evaluated } = of;
  const perplexityRatio = of.perplexity / evaluated.sourcePerplexity;
  return {
    sizeBytes: encoded.ref.sizeBytes,
    ...encoded.totals,
    perplexity: of.perplexity,
    sourcePerplexity: evaluated.sourcePerplexity,
    perplexityRatio,
    evaluation: {
      origin: evaluated.origin,
      rows: evaluated.rows.length,
      tokens: evaluated.tokens,
    },
    withinBound: perplexityRatio <= task.maxPerplexityRatio,
    tensors: encoded.tensors,
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
