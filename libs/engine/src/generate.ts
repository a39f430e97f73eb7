import { throwIfAborted } from './engine.error.ts';
import {
  type FinishReason,
  type GeneratedPiece,
  GenerationSequence,
  type SequenceOptions,
  sequenceModel,
} from './generation.sequence.ts';
import type { LanguageModel } from './language.model.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface GenerateOptions extends Omit<SequenceOptions, 'prompt' | 'scorePrompt'> {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** A text, or its tokens including begin-of-sequence. */
  readonly prompt: string | readonly number[];
  /** Prompt and completion together; default and most: the model's context. */
  readonly contextLength?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Continues a prompt token by token. Leaving the loop early frees the KV cache.
 *
 * @throws EngineError `BadArgument`, `ContextExceeded` (the prompt leaves no room), `BadToken`,
 * `NonFiniteLogits`, `Cancelled`, `ModelClosed`.
 */
export async function* generate(options: GenerateOptions): AsyncGenerator<GeneratedPiece> {
  const { model, tokenizer, signal } = options;
  const prompt =
    typeof options.prompt === 'string' ? tokenizer.encode(options.prompt) : options.prompt;
  const sequence = new GenerationSequence(sequenceModel(options), { ...options, prompt });
  const session = model.createSession(sequence.contextLength);
  try {
    let logits = await session.append(prompt, { signal });
    for (;;) {
      throwIfAborted(signal);
      yield* sequence.take(logits);
      if (sequence.finished) return;
      logits = await session.append(sequence.tokens.slice(-1), { signal });
    }
  } finally {
    session.close();
  }
}

export interface Completion {
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
}

/** {@link generate} to the end. */
export async function complete(options: GenerateOptions): Promise<Completion> {
  let text = '';
  const tokenIds: number[] = [];
  let finishReason: FinishReason = 'length';
  for await (const piece of generate(options)) {
    text += piece.text;
    if (piece.tokenId !== null) tokenIds.push(piece.tokenId);
    finishReason = piece.finishReason ?? finishReason;
  }
  return { text, tokenIds, finishReason };
}
