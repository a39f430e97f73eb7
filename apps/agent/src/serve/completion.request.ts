import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { badRequest } from './openai.error.ts';
import type { GenerationRequest } from './served.model.ts';

const MAX_TOKENS = 1_000_000;
const STOPS_MAX = 16;
const STOP_LENGTH = 1000;
const SEED_BOUND = 2 ** 48 - 1;

const promptSchema = z.union(
  [
    z.string(),
    z.array(z.int().min(0)).min(1),
    z
      .array(z.string())
      .length(1)
      .transform(([text]) => text ?? ''),
  ],
  { error: 'must be one text, or one list of token ids' },
);

/** Only the value that changes nothing is taken for options that are not implemented. */
const only = (value: number | boolean) =>
  z.literal(value, { error: `only ${value} is supported` }).nullish();

/** `POST /v1/completions`, OpenAI API reference. Unknown fields are ignored as OpenAI's are. */
const requestSchema = z.object({
  model: z.string().nullish(),
  prompt: promptSchema,
  max_tokens: z.int().min(1).max(MAX_TOKENS).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().min(-SEED_BOUND).max(SEED_BOUND).nullish(),
  stop: z
    .union([
      z.string().min(1).max(STOP_LENGTH),
      z.array(z.string().min(1).max(STOP_LENGTH)).max(STOPS_MAX),
    ])
    .nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: only(1),
  best_of: only(1),
  echo: only(false),
  logprobs: z.null({ error: 'logprobs are not supported' }).optional(),
  frequency_penalty: only(0),
  presence_penalty: only(0),
});

const DEFAULT_MAX_TOKENS = 16;
const DEFAULT_TEMPERATURE = 1;

export interface CompletionRequest {
  readonly model: string | null;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly generation: Omit<GenerationRequest, 'signal'>;
}

/** @throws ApiError 400 that names the field. */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.map(String).join('.') ?? '';
    const message = issue?.message ?? 'not a completion request';
    if (param === '') throw badRequest(message);
    throw badRequest(`${param}: ${message}`, param);
  }
  const request = parsed.data;
  return {
    model: request.model ?? null,
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
    generation: {
      prompt: request.prompt,
      maxTokens: request.max_tokens ?? DEFAULT_MAX_TOKENS,
      temperature: request.temperature ?? DEFAULT_TEMPERATURE,
      topP: request.top_p ?? 1,
      seed: Math.abs(request.seed ?? randomInt(SEED_BOUND)),
      stop: typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []),
    },
  };
}
