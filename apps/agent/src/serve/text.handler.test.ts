import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ScriptedModel } from '../../../../test/fixtures/scripted.model.ts';
import {
  holdModel,
  readEvents,
  type ScriptedServer,
  startScriptedServer,
} from '../../../../test/fixtures/scripted.server.ts';
import { AgentError } from '../errors.ts';

let model: ScriptedModel;
let slot: ScriptedServer['slot'];
let post: ScriptedServer['post'];
let chat: ScriptedServer['chat'];

beforeEach(async () => {
  ({ model, slot, post, chat } = await startScriptedServer());
});

describe('a completion', () => {
  it('comes in one piece with its usage', async () => {
    const response = await post({ model: 'tiny', prompt: 'Says', max_tokens: 3, temperature: 0 });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await response.json()).toMatchObject({
      object: 'text_completion',
      model: 'tiny:u8',
      system_fingerprint: 'fp_aaaaaaaaaaaaaaaa',
      choices: [{ text: 'Once upon a time', index: 0, logprobs: null, finish_reason: 'length' }],
      usage: { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 },
    });
    expect(model.requests[0]).toMatchObject({ prompt: [0, 1, 2, 3], maxTokens: 3, temperature: 0 });
  });

  it('comes as server-sent events that end with [DONE]', async () => {
    const bodies = await readEvents(
      await post({
        prompt: [1, 2],
        stream: true,
        stream_options: { include_usage: true },
        stop: 'x',
        seed: 7,
      }),
    );
    expect(bodies.map((b) => b.choices[0]?.text).join('')).toBe('Once upon a time');
    expect(bodies.at(-2).choices[0].finish_reason).toBe('length');
    expect(bodies.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 5 } });
    expect(bodies.slice(0, -1).every((b) => b.usage === null)).toBe(true);
    expect(new Set(bodies.map((b) => b.id)).size).toBe(1);
    expect(model.requests[0]).toMatchObject({ prompt: [1, 2], stop: ['x'], seed: 7 });
  });

  it('comes in several choices for several prompts, each with its own seed', async () => {
    const body = { prompt: ['ab', [5]], n: 2, seed: 10, max_tokens: 1, echo: true };
    const answer = await (await post(body)).json();
    expect(answer).toMatchObject({
      choices: [
        { index: 0, text: 'abOnce' },
        { index: 1, text: 'abOnce' },
        { index: 2, text: '?Once' },
        { index: 3, text: '?Once' },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 4 },
    });
    expect(model.requests.map((request) => request.seed)).toEqual([10, 11, 12, 13]);
  });

  it('says log-probabilities of its tokens and where they stand', async () => {
    const answer = await (await post({ prompt: 'x', logprobs: 1, max_tokens: 2 })).json();
    expect(answer).toMatchObject({
      choices: [
        {
          logprobs: {
            tokens: ['Once', ' upon'],
            token_logprobs: [-0.5, -0.5],
            top_logprobs: [
              { Once: -0.5, ' a time': -1 },
              { ' upon': -0.5, ' a time': -1 },
            ],
            text_offset: [0, 4],
          },
        },
      ],
    });
    const events = await readEvents(await post({ prompt: 'x', logprobs: 0, stream: true }));
    const offsets = events.flatMap((event) => event.choices[0].logprobs.text_offset);
    expect(offsets).toEqual([0, 4, 9]);
  });

  it('takes every option of sampling', async () => {
    const options = { temperature: 0.5, top_p: 0.9, top_k: 7, min_p: 0.1, repetition_penalty: 1.1 };
    const penalties = { frequency_penalty: 0.25, presence_penalty: -0.5, logit_bias: { 5: -100 } };
    const response = await post({
      prompt: 'x',
      ...options,
      ...penalties,
      user: 'me',
      store: false,
    });
    expect(response.status).toBe(200);
    expect(model.requests[0]).toMatchObject({
      ...{ temperature: 0.5, topP: 0.9, topK: 7, minP: 0.1, repetitionPenalty: 1.1 },
      ...{ frequencyPenalty: 0.25, presencePenalty: -0.5, logitBias: new Map([[5, -100]]) },
    });
  });

  it('finishes on the model it began with when another one takes over', async () => {
    const letGo = holdModel(model);
    const first = post({ prompt: 'x', max_tokens: 2 });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const next = new ScriptedModel();
    next.target = { ...next.target, model: 'next' };
    slot.switchTo(next);
    expect(model.closed).toBe(false);
    letGo();
    expect(await (await first).json()).toMatchObject({ model: 'tiny:u8' });
    await vi.waitFor(() => expect(model.closed).toBe(true));
    expect(await (await post({ prompt: 'x' })).json()).toMatchObject({ model: 'next:u8' });
  });

  it('that waits while another model takes over is answered by that one', async () => {
    const letGo = holdModel(model);
    const first = post({ prompt: 'x' });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const waiting = post({ prompt: 'x' });
    await sleep(30);
    const next = new ScriptedModel();
    next.target = { ...next.target, model: 'next' };
    slot.switchTo(next);
    letGo();
    expect(await (await first).json()).toMatchObject({ model: 'tiny:u8' });
    expect(await (await waiting).json()).toMatchObject({ model: 'next:u8' });
  });

  it('waits in a bounded queue; one more is told to come again', async () => {
    const letGo = holdModel(model);
    const running = post({ prompt: 'first' });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const waiting = post({ prompt: 'second' });
    await sleep(50);
    const refused = await post({ prompt: 'third' });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error' } });
    letGo();
    expect((await running).status).toBe(200);
    expect((await waiting).status).toBe(200);
  });
});

describe('a chat completion', () => {
  it('comes in one piece', async () => {
    const messages = [
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: 'c', refusal: null, annotations: [] },
      { role: 'user', content: 'd' },
    ];
    const answer = await (await chat({ messages, max_completion_tokens: 2 })).json();
    const prompt = 'system:Be brief.|user:a\nb|assistant:c|user:d';
    expect(answer).toMatchObject({
      object: 'chat.completion',
      choices: [
        { index: 0, message: { role: 'assistant', content: 'Once upon' }, finish_reason: 'length' },
      ],
      usage: { prompt_tokens: prompt.length, completion_tokens: 2 },
    });
  });

  it('comes as chunks that begin with the role', async () => {
    const events = await readEvents(await chat({ stream: true, logprobs: true, top_logprobs: 1 }));
    expect(events.map(({ choices }) => choices[0].delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { content: 'Once' },
      { content: ' upon' },
      { content: ' a time' },
      {},
    ]);
    expect(events[1].object).toBe('chat.completion.chunk');
    expect(events[1].choices[0].logprobs.content).toEqual([
      {
        ...{ token: 'Once', logprob: -0.5, bytes: [...Buffer.from('Once')] },
        top_logprobs: [{ token: ' a time', logprob: -1, bytes: [...Buffer.from(' a time')] }],
      },
    ]);
    expect(events.at(-1).choices[0].finish_reason).toBe('length');
  });

  it('is refused when the model has no chat template', async () => {
    model.chatFailure = new AgentError('NoChatTemplate', 'this model has no chat template');
    const response = await chat({});
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'no_chat_template' } });
  });
});

describe('a bad request', () => {
  const image = [{ type: 'image_url', image_url: { url: 'x' } }];

  it.each([
    ['no JSON', '{', 400, null],
    ['no object', '[]', 400, null],
    ['no prompt', {}, 400, 'prompt'],
    ['an empty token list', { prompt: [] }, 400, 'prompt'],
    ['too many texts', { prompt: ['a', 'b', 'c'], n: 16 }, 400, 'prompt'],
    ['negative max_tokens', { prompt: 'x', max_tokens: -1 }, 400, 'max_tokens'],
    ['too hot', { prompt: 'x', temperature: 3 }, 400, 'temperature'],
    ['a list as stop', { prompt: 'x', stop: [1] }, 400, 'stop.0'],
    ['too many choices', { prompt: 'x', n: 33 }, 400, 'n'],
    ['best_of', { prompt: 'x', best_of: 2 }, 400, 'best_of'],
    ['a suffix', { prompt: 'x', suffix: 'y' }, 400, 'suffix'],
    ['too many logprobs', { prompt: 'x', logprobs: 21 }, 400, 'logprobs'],
    ['a bias of no token', { prompt: 'x', logit_bias: { a: 1 } }, 400, 'logit_bias.a'],
    ['an unknown field', { prompt: 'x', top_q: 1 }, 400, 'top_q'],
    ['options of no stream', { prompt: 'x', stream_options: {} }, 400, 'stream_options'],
    ['an empty text', { prompt: '' }, 400, 'prompt'],
    ['another model', { prompt: 'x', model: 'gpt-4' }, 404, 'model'],
    ['no messages', { messages: [] }, 400, 'messages'],
    ['a role', { messages: [{ role: 'tool', content: 'x' }] }, 400, 'messages.0.role'],
    ['a name', { messages: [{ role: 'user', content: 'x', name: 'J' }] }, 400, 'messages.0.name'],
    [
      'an image',
      { messages: [{ role: 'user', content: image }] },
      400,
      'messages.0.content.0.type',
    ],
    ['nothing said', { messages: [{ role: 'user' }] }, 400, 'messages.0.content'],
    ['JSON wanted', { response_format: { type: 'json_object' } }, 400, 'response_format.type'],
    ['tools', { tools: [{ type: 'function' }] }, 400, 'tools.0'],
    ['two limits', { max_tokens: 1, max_completion_tokens: 2 }, 400, 'max_tokens'],
    ['top_logprobs alone', { top_logprobs: 1 }, 400, 'top_logprobs'],
    ['sound', { modalities: ['text', 'audio'] }, 400, 'modalities.1'],
  ])('with %s is refused in OpenAI shape', async (_, body, status, param) => {
    const isCompletion =
      typeof body === 'string' || 'prompt' in body || Object.keys(body).length === 0;
    const response = await (isCompletion ? post(body) : chat(body));
    const answer = (await response.json()) as { error: { message: string } };
    expect(answer).toMatchObject({ error: { type: 'invalid_request_error', param } });
    expect(response.status).toBe(status);
    expect(answer.error.message).not.toBe('');
    expect(model.requests).toEqual([]);
  });

  it('whose text cannot fit the context is not even encoded', async () => {
    const content = 'x'.repeat(64 * 32 + 1);
    model.encode = () => expect.fail('encoded');
    for (const refused of [
      await post({ prompt: content }),
      await chat({ messages: [{ role: 'user', content }] }),
    ]) {
      expect(await refused.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
    }
  });

  it('whose prompt is longer than the context says so', async () => {
    for (const stream of [false, true]) {
      const response = await post({ prompt: 'x'.repeat(65), stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        error: {
          code: 'context_length_exceeded',
          param: 'prompt',
          message: expect.stringMatching(/64 tokens.* 65 tokens/),
        },
      });
    }
  });
});

describe('an error of the model', () => {
  it('is ours, and is said within a stream that has begun', async () => {
    model.failure = new AgentError('NonFiniteLogits', 'damaged');
    expect((await post({ prompt: 'x' })).status).toBe(500);
    model.failure = null;
    model.hold = Promise.reject(new AgentError('NonFiniteLogits', 'damaged'));
    model.hold.catch(() => undefined);
    const text = await (await post({ prompt: 'x', stream: true })).text();
    expect(text).toContain('"code":"NonFiniteLogits"');
    expect(text).toContain('data: [DONE]');
  });

  it('ends the other choices of the request', async () => {
    model.hold = Promise.reject(new AgentError('NonFiniteLogits', 'damaged'));
    model.hold.catch(() => undefined);
    expect((await post({ prompt: 'x', n: 3 })).status).toBe(500);
    await vi.waitFor(() => expect(model.ended).toBe(3));
    expect(slot.leases).toBe(0);
  });
});
