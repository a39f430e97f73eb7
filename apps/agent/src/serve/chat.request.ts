import { type ChatMessage, TOP_LOGPROBS_MOST } from '@entrofleet/engine';
import { z } from 'zod';
import { badRequest } from './openai.error.ts';
import {
  COMMON_FIELDS,
  type CommonRequest,
  only,
  parseFields,
  refused,
  toCommonRequest,
  tokenCount,
} from './request.fields.ts';

const MESSAGES_MOST = 2048;

const textPart = z.strictObject({
  type: z.literal('text', { error: 'only parts of type "text" are supported' }),
  text: z.string(),
});

/** Parts are lines of one text, as vLLM joins them. */
const content = z.union(
  [
    z.string(),
    z
      .array(textPart)
      .min(1)
      .transform((parts) => parts.map((part) => part.text).join('\n')),
  ],
  { error: 'must be a text or a list of text parts' },
);

const nothing = z.union([z.null(), z.array(z.never()).max(0)]).optional();

const messageSchema = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant'], {
    error: 'must be system, developer, user or assistant; tools are not supported',
  }),
  content,
  name: refused('names of participants are'),
  // What an answer of this API holds beside its text, so that it can be sent back as it came.
  refusal: nothing,
  annotations: nothing,
  parsed: nothing,
  audio: nothing,
  function_call: nothing,
  tool_calls: nothing,
});

/** `POST /v1/chat/completions`. */
const requestSchema = z.strictObject({
  ...COMMON_FIELDS,
  messages: z.array(messageSchema).min(1).max(MESSAGES_MOST),
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MOST).nullish(),
  response_format: z
    .strictObject({ type: z.literal('text', { error: 'only "text" is supported' }) })
    .nullish(),
  modalities: z.array(z.literal('text', { error: 'only "text" is supported' })).nullish(),
  tools: z.array(z.never({ error: 'tools are not supported' })).nullish(),
  tool_choice: only('none', 'auto'),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.array(z.never({ error: 'functions are not supported' })).nullish(),
  function_call: only('none', 'auto'),
  reasoning_effort: only('none'),
  verbosity: only('medium'),
  audio: refused('audio is'),
  prediction: refused('predicted output is'),
  web_search_options: refused('web search is'),
});

export interface ChatRequest extends CommonRequest {
  readonly messages: readonly ChatMessage[];
}

/** @throws ApiError 400 that names the field. */
export function parseChatRequest(body: unknown): ChatRequest {
  const fields = parseFields(requestSchema, body);
  const { max_tokens: maxTokens, max_completion_tokens: maxCompletionTokens } = fields;
  if (maxTokens != null && maxCompletionTokens != null && maxTokens !== maxCompletionTokens) {
    const message = 'max_tokens: is the old name of max_completion_tokens; give one of them';
    throw badRequest(message, 'max_tokens');
  }
  const asksLogprobs = fields.logprobs ?? false;
  if (fields.top_logprobs != null && !asksLogprobs) {
    throw badRequest('top_logprobs: needs logprobs to be true', 'top_logprobs');
  }
  const common = toCommonRequest(fields, {
    // The context ends an answer that is not bounded.
    maxTokens: maxCompletionTokens ?? maxTokens ?? Number.MAX_SAFE_INTEGER,
    logprobs: asksLogprobs ? (fields.top_logprobs ?? 0) : undefined,
  });
  const messages = fields.messages.map(({ role, content: text }) => ({
    role: role === 'developer' ? 'system' : role,
    content: text,
  }));
  return { ...common, messages };
}
