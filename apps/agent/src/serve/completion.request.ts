import { TOP_LOGPROBS_MOST } from '@entrofleet/engine';
import { z } from 'zod';
import { badRequest } from './openai.error.ts';
import {
  CHOICES_MOST,
  COMMON_FIELDS,
  type CommonRequest,
  only,
  parseFields,
  toCommonRequest,
} from './request.fields.ts';

const DEFAULT_MAX_TOKENS = 16;

const tokenIds = z.array(z.int().min(0)).min(1);

const prompts = z.union(
  [
    z.string().transform((text) => [text]),
    tokenIds.transform((tokens) => [tokens]),
    z.array(z.union([z.string(), tokenIds])).min(1),
  ],
  { error: 'must be a text, a list of texts, a list of token ids, or a list of such lists' },
);

/** `POST /v1/completions`. */
const requestSchema = z.strictObject({
  ...COMMON_FIELDS,
  prompt: prompts,
  max_tokens: z.int().min(0).max(1_000_000).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(TOP_LOGPROBS_MOST).nullish(),
  best_of: z.int().min(1).nullish(),
  suffix: only(''),
});

export interface CompletionRequest extends CommonRequest {
  /** Texts or token ids. */
  readonly prompts: readonly (string | readonly number[])[];
  /** The answer begins with the prompt. */
  readonly echo: boolean;
}

/** @throws ApiError 400 that names the field. */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const fields = parseFields(requestSchema, body);
  const common = toCommonRequest(fields, {
    maxTokens: fields.max_tokens ?? DEFAULT_MAX_TOKENS,
    logprobs: fields.logprobs ?? undefined,
  });
  if ((fields.best_of ?? common.choices) !== common.choices) {
    throw badRequest('best_of: must be equal to n; choosing is not supported', 'best_of');
  }
  if (fields.prompt.length * common.choices > CHOICES_MOST) {
    const message = `prompt: at most ${CHOICES_MOST} texts can be asked for at once`;
    throw badRequest(message, 'prompt');
  }
  return { ...common, prompts: fields.prompt, echo: fields.echo ?? false };
}
