import { randomInt } from 'node:crypto';
import type { BatchRequest } from '@entrofleet/engine';
import { z } from 'zod';
import { badRequest } from './openai.error.ts';

const MAX_TOKENS = 1_000_000;
const STOPS_MOST = 16;
const STOP_LENGTH = 1000;
const SEED_BOUND = 2 ** 48 - 1;
const LEAST_TOP_P = 1e-9;
/** Texts that one request may ask for; each takes a place in the batch. */
export const CHOICES_MOST = 32;

/** Only the value that changes nothing is taken for what is not implemented. */
export const only = (...values: (string | number | boolean)[]) => {
  const named = values.map((value) => JSON.stringify(value)).join(' or ');
  return z.literal(values, { error: `only ${named} is supported` }).nullish();
};

/** A field that would change the answer, and is not implemented. */
export const refused = (what: string) =>
  z.null({ error: `${what} not supported by this server` }).optional();

const stopText = z.string().min(1).max(STOP_LENGTH);

export const tokenCount = z.int().min(1).max(MAX_TOKENS).nullish();

/**
 * Fields of `POST /v1/completions` and `POST /v1/chat/completions` alike (OpenAI API reference),
 * with `top_k`, `min_p` and `repetition_penalty` as vLLM names them.
 */
export const COMMON_FIELDS = {
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: only(false) })
    .nullish(),
  n: z.int().min(1).max(CHOICES_MOST).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, 'must be a token id'), z.number().min(-100).max(100))
    .nullish(),
  seed: z.int().min(-SEED_BOUND).max(SEED_BOUND).nullish(),
  stop: z.union([stopText, z.array(stopText).max(STOPS_MOST)]).nullish(),
  // These say who asks, or how the answer is kept elsewhere; they do not change it.
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  store: only(false),
  service_tier: only('auto', 'default'),
};

type CommonFields = z.infer<z.ZodObject<typeof COMMON_FIELDS>>;

/** How a text is to be generated, without the text itself. */
export type GenerationOptions = Omit<BatchRequest, 'prompt' | 'signal' | 'seed'> & {
  readonly seed: number;
};

/** What every request for texts says. */
export interface CommonRequest {
  readonly model: string | null;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Texts for each prompt. */
  readonly choices: number;
  readonly generation: GenerationOptions;
}

const DEFAULT_TEMPERATURE = 1;

/** @throws ApiError 400. */
export function toCommonRequest(
  fields: CommonFields,
  use: { maxTokens: number; logprobs: number | undefined },
): CommonRequest {
  const stream = fields.stream ?? false;
  if (fields.stream_options != null && !stream) {
    throw badRequest('stream_options: is for streams only', 'stream_options');
  }
  return {
    model: fields.model ?? null,
    stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    choices: fields.n ?? 1,
    generation: {
      maxTokens: use.maxTokens,
      logprobs: use.logprobs,
      temperature: fields.temperature ?? DEFAULT_TEMPERATURE,
      // A share of nothing still holds the likeliest token.
      topP: Math.max(LEAST_TOP_P, fields.top_p ?? 1),
      topK: fields.top_k ?? 0,
      minP: fields.min_p ?? 0,
      repetitionPenalty: fields.repetition_penalty ?? 1,
      frequencyPenalty: fields.frequency_penalty ?? 0,
      presencePenalty: fields.presence_penalty ?? 0,
      logitBias: new Map(
        Object.entries(fields.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias]),
      ),
      seed: Math.abs(fields.seed ?? randomInt(SEED_BOUND)),
      stop: typeof fields.stop === 'string' ? [fields.stop] : (fields.stop ?? []),
    },
  };
}

/** @throws ApiError 400 that names the field. */
export function parseFields<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues[0]);
  if (issue === undefined) throw badRequest('not a request');
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const param = [...path, issue.keys[0] ?? ''].join('.');
    throw badRequest(`${param}: is not a field that this server knows`, param);
  }
  const param = path.join('.');
  if (param === '') throw badRequest(issue.message);
  throw badRequest(`${param}: ${issue.message}`, param);
}

type Issue = z.core.$ZodIssue;

/** Of a union, the complaint of the alternative that was nearly right: it lies deepest. */
function deepest(issue: Issue | undefined): Issue | undefined {
  if (issue?.code !== 'invalid_union') return issue;
  const inner = issue.errors
    .flatMap((alternative) => alternative.slice(0, 1))
    .map((found) => deepest({ ...found, path: [...issue.path, ...found.path] }))
    .filter((found) => found !== undefined)
    .sort((a, b) => b.path.length - a.path.length)[0];
  return inner !== undefined && inner.path.length > issue.path.length ? inner : issue;
}
