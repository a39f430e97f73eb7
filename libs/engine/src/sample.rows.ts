import { EngineError, throwIfAborted } from './engine.error.ts';
import type { LanguageModel, ModelSession } from './language.model.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { TokenSampler } from './sampler.ts';

export interface SampleRowsOptions {
  readonly rows: number;
  /** Tokens of each row, begin-of-sequence included; at most the model's context. */
  readonly rowTokens: number;
  readonly seed: number;
  /** 1 draws from the model's own distribution. */
  readonly temperature?: number;
  /** Stops after this time with what there is: shorter rows, or fewer. */
  readonly timeBudgetMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/**
 * Texts the model writes by itself, as token ids, to measure its variants on when no evaluation
 * set is given. Rows start with begin-of-sequence (token 0 when the model has none) and run past
 * end-of-sequence, as rows of a training set do. Several rows share each pass over the weights;
 * a row depends on its index and the seed only, not on how many are sampled together.
 *
 * @returns at least one row of at least two tokens, all of one length unless time ran out.
 * @throws EngineError `BadArgument`, `NonFiniteLogits`, `Cancelled`.
 */
export async function sampleRows(
  model: LanguageModel,
  options: SampleRowsOptions,
): Promise<number[][]> {
  const { rows, rowTokens } = options;
  if (!Number.isInteger(rows) || rows < 1 || !Number.isInteger(rowTokens) || rowTokens < 2) {
    throw new EngineError('BadArgument', 'sampleRows needs rows >= 1 and rowTokens >= 2');
  }
  const now = options.now ?? (() => performance.now());
  const deadline = now() + (options.timeBudgetMs ?? Number.POSITIVE_INFINITY);
  const result: number[][] = [];
  while (result.length < rows && (result.length === 0 || now() < deadline)) {
    const batch = await sampleBatch(model, options, {
      first: result.length,
      count: Math.min(ENGINE_LIMITS.batchedSequences, rows - result.length),
      expired: () => now() >= deadline,
    });
    result.push(...batch);
  }
  return result;
}

interface Row {
  readonly session: ModelSession;
  readonly sampler: TokenSampler;
  readonly tokens: number[];
}

async function sampleBatch(
  model: LanguageModel,
  options: SampleRowsOptions,
  batch: { first: number; count: number; expired: () => boolean },
): Promise<number[][]> {
  const { temperature = 1, rowTokens, seed, signal } = options;
  const { vocabularySize } = model.config;
  const rows: Row[] = [];
  try {
    for (let i = 0; i < batch.count; i++) {
      rows.push({
        session: model.createSession(rowTokens),
        sampler: new TokenSampler({
          vocabularySize,
          temperature,
          seed: seed + (batch.first + i) * 2 ** 32,
        }),
        tokens: [model.config.bosTokenId ?? 0],
      });
    }
    const sessions = rows.map((row) => row.session);
    for (let length = 1; length < rowTokens; length++) {
      if (length > 1 && batch.expired()) break;
      throwIfAborted(signal);
      const last = rows.map((row) => row.tokens.at(-1) ?? 0);
      const logits = await model.step(sessions, last);
      for (const [i, row] of rows.entries()) {
        const own = logits[i] ?? new Float32Array(1);
        row.tokens.push(row.sampler.draw(own));
      }
    }
    return rows.map((row) => row.tokens);
  } finally {
    for (const row of rows) row.session.close();
  }
}
