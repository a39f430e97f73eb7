import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChatRequest } from './chat.request.ts';
import { parseCompletionRequest } from './completion.request.ts';
import { ApiError } from './openai.error.ts';

const MESSAGES = [{ role: 'user', content: 'x' }];

/** Values that fields are given, right ones and wrong ones. */
const anyValue = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.double(),
  fc.constantFrom('', 'text', -1, 0, 1, 2 ** 53, [], {}, null, [[]], { type: 'text' }, ['a', 1]),
);
const fields = fc.dictionary(
  fc.constantFrom(
    ...['model', 'prompt', 'messages', 'max_tokens', 'max_completion_tokens', 'temperature'],
    ...['top_p', 'top_k', 'min_p', 'seed', 'stop', 'n', 'best_of', 'logprobs', 'top_logprobs'],
    ...['logit_bias', 'stream', 'stream_options', 'echo', 'suffix', 'tools', 'response_format'],
    ...['frequency_penalty', 'repetition_penalty', 'user', '__proto__', 'constructor', 'other'],
  ),
  anyValue,
);

describe('any body', () => {
  it.each([
    ['completion', parseCompletionRequest, { prompt: 'x' }],
    ['chat', parseChatRequest, { messages: MESSAGES }],
  ])('of a %s is taken or refused with 400 and a reason', (_, parse, least) => {
    const body = fc.oneof(
      anyValue,
      fields,
      fields.map((some) => ({ ...least, ...some })),
    );
    fc.assert(
      fc.property(body, (asked) => {
        try {
          const { generation, choices } = parse(JSON.parse(JSON.stringify(asked ?? null)));
          expect(choices).toBeGreaterThan(0);
          expect(generation.topP).toBeGreaterThan(0);
          expect(Number.isSafeInteger(generation.maxTokens)).toBe(true);
          expect(generation.seed).toBeGreaterThanOrEqual(0);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          expect(error.status).toBe(400);
          expect(error.message).not.toBe('');
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('defaults', () => {
  it('are those of OpenAI', () => {
    const completion = parseCompletionRequest({ prompt: 'x' });
    expect(completion).toMatchObject({ model: null, stream: false, choices: 1, echo: false });
    expect(completion.generation).toMatchObject({ maxTokens: 16, temperature: 1, topP: 1 });
    const { generation } = parseChatRequest({ messages: MESSAGES });
    expect(generation.maxTokens).toBe(Number.MAX_SAFE_INTEGER);
    expect(generation.logprobs).toBeUndefined();
  });

  it('let the seed differ from request to request', () => {
    const seeds = [1, 2, 3].map(() => parseCompletionRequest({ prompt: 'x' }).generation.seed);
    expect(new Set(seeds).size).toBe(3);
  });
});
