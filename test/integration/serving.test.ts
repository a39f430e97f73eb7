import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { parseMetrics } from '../support/prometheus.text.ts';
import { CHAT_TEMPLATE, type ServingAgent, startServingAgent } from '../support/serving.agent.ts';

const MODEL = 'first:u8';
/** The end-of-sequence token must not come, where a length is expected. */
const ENDLESS = { logit_bias: { 2: -100 } };
const CONTEXT = 1024;

let first: EncodedModel;
let second: EncodedModel;
beforeAll(async () => {
  const fixed = { chunkSizeBytes: 65_536, contextLength: CONTEXT };
  const chatTemplate = CHAT_TEMPLATE;
  first = await encodeTinyModel({ ...fixed, model: 'first', seed: 1, chatTemplate });
  second = await encodeTinyModel({ ...fixed, model: 'second', seed: 2 });
});
afterAll(async () => {
  await first.source.close();
  await second.source.close();
});

const completion = (change: Partial<OpenAI.CompletionCreateParamsNonStreaming> = {}) => ({
  ...{ model: MODEL, prompt: 'once upon', max_tokens: 20, temperature: 0, ...ENDLESS },
  ...change,
});
const chat = (change: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) => ({
  ...{ model: MODEL, max_completion_tokens: 20, temperature: 0, ...ENDLESS },
  messages: [{ role: 'user' as const, content: 'say something' }],
  ...change,
});

describe('texts', () => {
  it('come whole, streamed, alike, and in several choices', async () => {
    const { client } = await startServingAgent({ models: [first] });
    const whole = await client.completions.create(completion());
    const [choice] = whole.choices;
    expect(choice).toMatchObject({ index: 0, finish_reason: 'length', logprobs: null });
    expect(whole.usage).toMatchObject({ completion_tokens: 20 });

    let streamed = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    for await (const chunk of await client.completions.create({ ...completion(), ...options })) {
      streamed += chunk.choices[0]?.text ?? '';
      usage = chunk.usage;
    }
    expect(streamed).toBe(choice?.text);
    expect(usage).toEqual(whole.usage);

    const sampled = { n: 3, temperature: 1, seed: 5, prompt: ['once upon', 'a time'] };
    const several = await client.completions.create(completion(sampled));
    expect(several.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(new Set(several.choices.map(({ text }) => text)).size).toBe(6);
    const again = await client.completions.create(completion(sampled));
    expect(again.choices).toEqual(several.choices);
    expect(again.system_fingerprint).toBe(several.system_fingerprint);
  });

  it('have log-probabilities, of the prompt too when it is echoed', async () => {
    const { client } = await startServingAgent({ models: [first] });
    const echoed = await client.completions.create(
      completion({ echo: true, logprobs: 2, max_tokens: 3 }),
    );
    const [{ text, logprobs } = {}] = echoed.choices;
    expect(text?.startsWith('once upon')).toBe(true);
    const promptTokens = echoed.usage?.prompt_tokens ?? 0;
    expect(logprobs?.tokens).toHaveLength(promptTokens + 3);
    expect(logprobs?.token_logprobs?.[0]).toBeNull();
    const offsets = logprobs?.text_offset ?? [];
    expect(offsets.slice(0, 2)).toEqual([0, 0]);
    expect(offsets[promptTokens]).toBe('once upon'.length);
    offsets.slice(2, promptTokens).forEach((offset, i) => {
      expect(text?.slice(offset)).toMatch(new RegExp(`^${logprobs?.tokens?.[i + 2]}`));
    });
    for (const logprob of logprobs?.token_logprobs?.slice(1) ?? []) {
      expect(logprob).toBeLessThan(0);
    }
    const scored = await client.completions.create(
      completion({ echo: true, logprobs: 0, max_tokens: 0 }),
    );
    expect(scored.choices[0]).toMatchObject({ text: 'once upon', finish_reason: 'length' });
    const scores = scored.choices[0]?.logprobs?.token_logprobs;
    expect(scores).toEqual(logprobs?.token_logprobs?.slice(0, promptTokens));
  });

  it('end at a stop string', async () => {
    const { client } = await startServingAgent({ models: [first] });
    const { choices } = await client.completions.create(completion());
    const text = choices[0]?.text ?? '';
    const stop = text.slice(5, 8);
    const cut = await client.completions.create(completion({ stop }));
    expect(cut.choices[0]).toMatchObject({
      text: text.slice(0, text.indexOf(stop)),
      finish_reason: 'stop',
    });
  });
});

describe('chats', () => {
  it('come whole and streamed, with history', async () => {
    const { client, agent } = await startServingAgent({ models: [first] });
    const whole = await client.chat.completions.create(chat({ logprobs: true, top_logprobs: 2 }));
    const [choice] = whole.choices;
    expect(choice).toMatchObject({ finish_reason: 'length', message: { role: 'assistant' } });
    expect(choice?.logprobs?.content).toHaveLength(20);
    expect(choice?.logprobs?.content?.[0]?.top_logprobs).toHaveLength(2);
    for (const { token, bytes } of choice?.logprobs?.content ?? []) {
      if (bytes !== null) expect(choice?.message.content).toContain(token.trim());
    }

    const stream = client.chat.completions.stream({ ...chat(), stream: true });
    const final = await stream.finalMessage();
    expect(final.content).toBe(choice?.message.content);

    const messages = [
      { role: 'user' as const, content: [{ type: 'text' as const, text: 'say something' }] },
      final,
      { role: 'user' as const, content: 'go on' },
    ];
    const next = await client.chat.completions.create(chat({ messages }));
    expect(next.usage?.prompt_tokens).toBeGreaterThan(whole.usage?.total_tokens ?? 0);
    // The first turn was read once, for all three.
    const metrics = parseMetrics(await (await fetch(`${agent.url}/metrics`)).text());
    const shared = metrics.get('entrofleet_agent_shared_prompt_tokens_total');
    expect(shared).toBeGreaterThanOrEqual(2 * ((whole.usage?.prompt_tokens ?? 0) - 1));
  });

  it('are refused as the template refuses them, or when there is none', async () => {
    const { client, serve } = await startServingAgent({ models: [first, second] });
    const messages = [
      { role: 'user' as const, content: 'a' },
      { role: 'system' as const, content: 'b' },
    ];
    const badly = client.chat.completions.create(chat({ messages }));
    await expect(badly).rejects.toThrow(/a system message goes first/);
    await expect(badly).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await serve(second);
    const without = client.chat.completions.create(chat({ model: 'second:u8' }));
    await expect(without).rejects.toMatchObject({ status: 400, code: 'no_chat_template' });
  });
});

describe('errors', () => {
  it('are those that the client knows', async () => {
    const { client } = await startServingAgent({ models: [first] });
    const long = client.completions.create(completion({ prompt: 'x'.repeat(3 * CONTEXT) }));
    await expect(long).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(long).rejects.toMatchObject({ code: 'context_length_exceeded', param: 'prompt' });
    const unknown = client.chat.completions.create(chat({ model: 'gpt-4' }));
    await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(unknown).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(client.embeddings.create({ model: MODEL, input: 'x' })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
    const json = client.chat.completions.create(chat({ response_format: { type: 'json_object' } }));
    await expect(json).rejects.toMatchObject({ status: 400, param: 'response_format.type' });
    const token = client.completions.create(completion({ prompt: [1, 100_000] }));
    await expect(token).rejects.toMatchObject({ status: 400, code: 'bad_token' });
    const bias = client.completions.create(completion({ logit_bias: { 100000: 1 } }));
    await expect(bias).rejects.toMatchObject({ status: 400 });
  });

  it('say that no model serves yet', async () => {
    const { client } = await startServingAgent({ models: [] });
    expect((await client.models.list()).data).toEqual([]);
    const early = client.completions.create(completion());
    await expect(early).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    await expect(early).rejects.toMatchObject({ status: 503, code: 'no_active_model' });
  });
});

it('models are listed and shown', async () => {
  const { client } = await startServingAgent({ models: [first] });
  const { data } = await client.models.list();
  expect(data).toMatchObject([{ id: MODEL, object: 'model', owned_by: 'entrofleet' }]);
  expect(await client.models.retrieve(MODEL)).toEqual(data[0]);
  await expect(client.models.retrieve('other')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

describe('under load', () => {
  /** Streams a long text; resolves to its pieces when it has ended. */
  async function longStream({ client }: ServingAgent, signal?: AbortSignal): Promise<string[]> {
    const pieces: string[] = [];
    const options = { stream: true, max_tokens: CONTEXT - 20 } as const;
    const body = { ...completion(), ...options };
    for await (const chunk of await client.completions.create(body, { signal })) {
      pieces.push(chunk.choices[0]?.finish_reason ?? '');
    }
    return pieces;
  }

  it('a full queue is a rate limit, and those who leave make room at once', async () => {
    const environment = { HTTP_CONCURRENCY: '2', HTTP_QUEUE: '1' };
    const serving = await startServingAgent({ models: [first], environment });
    const leaving = new AbortController();
    const running = [1, 2].map(() => longStream(serving, leaving.signal).catch(() => []));
    const waiting = longStream(serving);
    const gauge = async (name: string) =>
      parseMetrics(await (await fetch(`${serving.agent.url}/metrics`)).text()).get(name);
    await vi.waitFor(async () => {
      expect(await gauge('entrofleet_agent_requests_waiting')).toBe(1);
    });
    const refused = serving.client.completions.create(completion());
    await expect(refused).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    await expect(refused).rejects.toMatchObject({ code: 'queue_full' });
    leaving.abort();
    await Promise.all(running);
    expect((await waiting).at(-1)).toBe('length');
    expect(await gauge('entrofleet_agent_requests_running')).toBe(0);
  });

  it('requests that run together are each answered as if alone', async () => {
    const { client } = await startServingAgent({ models: [first] });
    const ask = async (seed: number) => {
      const { choices } = await client.completions.create(
        completion({ seed, temperature: 1, max_tokens: 100 }),
      );
      return choices[0]?.text;
    };
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    const together = await Promise.all(seeds.map(ask));
    const alone: unknown[] = [];
    for (const seed of seeds) alone.push(await ask(seed));
    expect(together).toEqual(alone);
  });

  it('a switch to another model drops no request', async () => {
    const { client, serve } = await startServingAgent({ models: [first, second] });
    const answeredBy: string[] = [];
    let isOver = false;
    const ask = async () => {
      while (!isOver) {
        const models = new Set<string>();
        const body = { ...completion({ max_tokens: 60 }), model: '', stream: true } as const;
        let finish = '';
        const { model: _, ...anyModel } = body;
        for await (const chunk of await client.completions.create(anyModel as typeof body)) {
          models.add(chunk.model);
          finish = chunk.choices[0]?.finish_reason ?? '';
        }
        expect(finish).toBe('length');
        answeredBy.push([...models].join('+'));
      }
    };
    const asking = Promise.all([1, 2, 3, 4].map(ask));
    await vi.waitFor(() => expect(answeredBy.length).toBeGreaterThan(4));
    await serve(second);
    await vi.waitFor(() => expect(answeredBy.at(-1)).toBe('second:u8'));
    isOver = true;
    await asking;
    expect(new Set(answeredBy)).toEqual(new Set([MODEL, 'second:u8']));
  });

  it('SIGTERM lets what runs finish', async () => {
    const serving = await startServingAgent({ models: [first] });
    const running = longStream(serving);
    await sleep(50);
    const stopped = serving.agent.process.stop();
    expect((await running).at(-1)).toBe('length');
    await stopped;
  });
});

it('metrics are in Prometheus’ format and count what happened', async () => {
  const { client, agent } = await startServingAgent({ models: [first] });
  const { usage } = await client.completions.create(completion());
  await expect(client.models.retrieve('other')).rejects.toThrow();
  const response = await fetch(`${agent.url}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const metrics = parseMetrics(await response.text());
  const value = (name: string) => metrics.get(`entrofleet_agent_${name}`);
  expect(value('prompt_tokens_total')).toBe(usage?.prompt_tokens);
  expect(value('generated_tokens_total')).toBe(20);
  expect(value('time_to_first_token_seconds_count')).toBe(1);
  expect(value('inter_token_seconds_count')).toBe(19);
  const requests = (labels: string) => value(`http_requests_total{${labels}}`);
  expect(requests('route="/v1/completions",method="POST",code="200"')).toBe(1);
  expect(requests('route="/v1/models/{id}",method="GET",code="404"')).toBe(1);
  const { id } = first.target.artifact;
  expect(value(`model_info{model="first",variant="u8",artifact="${id}"}`)).toBe(1);
  for (const name of ['weights_bytes', 'model_load_seconds', 'kv_cache_limit_bytes']) {
    expect(value(name)).toBeGreaterThan(0);
  }
  expect(metrics.get('process_resident_memory_bytes')).toBeGreaterThan(0);
});
