import { EngineError } from './engine.error.ts';

/** How the next token is drawn; what is left out does nothing. See {@link TokenSampler}. */
export interface SamplingOptions {
  /** 0: always the likeliest token. */
  readonly temperature?: number | undefined;
  /** Only so many likeliest tokens; 0: all. */
  readonly topK?: number | undefined;
  /** Only the likeliest tokens that together reach this probability; 1: all. */
  readonly topP?: number | undefined;
  /** Only tokens at least this likely, relative to the likeliest; 0: all. */
  readonly minP?: number | undefined;
  /** Above 1: tokens of the prompt and of the text so far become less likely. */
  readonly repetitionPenalty?: number | undefined;
  /** Taken from a token's logit for each time it stands in the text so far, prompt left out. */
  readonly frequencyPenalty?: number | undefined;
  /** Taken once from the logit of every token of the text so far, prompt left out. */
  readonly presencePenalty?: number | undefined;
  /** Added to the logits of these tokens, -100 to 100. */
  readonly logitBias?: ReadonlyMap<number, number> | undefined;
}

const BIAS_MOST = 100;

/** Bounds of the options that are numbers, as a sentence and as a test. */
const RULES = {
  temperature: ['from 0 to 100', (value: number) => value >= 0 && value <= 100],
  topK: ['an integer from 0', (value: number) => Number.isSafeInteger(value) && value >= 0],
  topP: ['above 0 and at most 1', (value: number) => value > 0 && value <= 1],
  minP: ['from 0 to 1', (value: number) => value >= 0 && value <= 1],
  repetitionPenalty: ['above 0 and at most 100', (value: number) => value > 0 && value <= 100],
  frequencyPenalty: ['from -100 to 100', (value: number) => Math.abs(value) <= 100],
  presencePenalty: ['from -100 to 100', (value: number) => Math.abs(value) <= 100],
} as const;

/**
 * @param vocabularySize bounds the tokens of `logitBias`; they are not checked without it.
 * @throws EngineError `BadArgument`, naming the option, or `BadToken`.
 */
export function assertSamplingOptions(options: SamplingOptions, vocabularySize?: number): void {
  for (const [name, [sentence, holds]] of Object.entries(RULES)) {
    const value = options[name as keyof typeof RULES];
    if (value === undefined || holds(value)) continue;
    throw new EngineError('BadArgument', `${name} is ${value}; it must be ${sentence}`);
  }
  for (const [token, bias] of options.logitBias ?? []) {
    if (!(Math.abs(bias) <= BIAS_MOST)) {
      throw new EngineError(
        'BadArgument',
        `logitBias of token ${token} is ${bias}; it must be from -${BIAS_MOST} to ${BIAS_MOST}`,
      );
    }
    if (!Number.isSafeInteger(token) || token < 0 || token >= (vocabularySize ?? Infinity)) {
      throw new EngineError('BadToken', `logitBias names token ${token}, which does not exist`);
    }
  }
}
