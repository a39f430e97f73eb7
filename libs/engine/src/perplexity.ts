import { EngineError, throwIfAborted } from './engine.error.ts';
import type { LanguageModel } from './language.model.ts';

export interface PerplexityOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { rowsDone: number; rowsTotal: number }) => void) | undefined;
}

export interface PerplexityResult {
  /** exp of the mean negative log-likelihood of all scored tokens. */
  readonly perplexity: number;
  readonly rows: number;
  /** Tokens scored: every token of a row but its first. */
  readonly tokens: number;
}

/**
 * Perplexity over rows of token ids, each at least two tokens and at most the model's context,
 * each scored from its first token with nothing before it.
 *
 * @throws EngineError `BadArgument`, `ContextExceeded`, `BadToken`, `NonFiniteLogits`,
 * `Cancelled`.
 */
export async function perplexity(
  model: LanguageModel,
  rows: readonly (readonly number[])[],
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  if (rows.length === 0 || rows.some((row) => row.length < 2)) {
    throw new EngineError('BadArgument', 'perplexity needs rows of at least two tokens');
  }
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const session = model.createSession(longest);
  let total = 0;
  let tokens = 0;
  try {
    for (const [index, row] of rows.entries()) {
      throwIfAborted(options.signal);
      session.truncate(0);
      const losses = await session.score(row, { signal: options.signal });
      for (const loss of losses) total += loss;
      tokens += losses.length;
      options.onProgress?.({ rowsDone: index + 1, rowsTotal: rows.length });
    }
  } finally {
    session.close();
  }
  if (!Number.isFinite(total)) {
    throw new EngineError('NonFiniteLogits', 'the model gives no finite likelihoods');
  }
  return { perplexity: Math.exp(total / tokens), rows: rows.length, tokens };
}
