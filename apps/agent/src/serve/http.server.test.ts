import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { referenceOf, targetOf } from '../../../../test/fixtures/update.values.ts';
import { AgentError } from '../errors.ts';
import { createLog } from '../log.ts';
import { startHttpServer } from './http.server.ts';
import { ModelSlot } from './model.slot.ts';
import { RequestGate } from './request.gate.ts';
import type { GenerationPiece, GenerationRequest, ServedModel } from './served.model.ts';

/** Says its words one by one, each when the test lets it. */
class ScriptedModel implements ServedModel {
  target = targetOf(referenceOf('a'));
  readonly contextLength = 64;
  readonly requests: GenerationRequest[] = [];
  words: readonly string[] = ['Once', ' upon', ' a time'];
  hold: Promise<void> = Promise.resolve();
  failure: Error | null = null;
  ended = 0;
  closed = false;

  async *generate(request: GenerationRequest): AsyncGenerator<GenerationPiece> {
    this.requests.push(request);
    try {
      let completionTokens = 0;
      for (const text of this.words.slice(0, request.maxTokens)) {
        if (this.failure !== null) throw this.failure;
        completionTokens++;
        yield { kind: 'Text', text };
        await this.hold;
        request.signal.throwIfAborted();
      }
      const usage = { promptTokens: 4, completionTokens };
      yield { kind: 'End', finishReason: 'length', usage };
    } finally {
      this.ended++;
    }
  }

  close(): void {
    this.closed = true;
  }
}

let model: ScriptedModel;
let slot: ModelSlot<ServedModel>;
let endpoint: string;

beforeEach(async () => {
  model = new ScriptedModel();
  slot = new ModelSlot();
  slot.switchTo(model);
  const gate = new RequestGate({ concurrency: 1, queueLength: 1 });
  const log = createLog('error', () => undefined);
  const server = await startHttpServer({ host: '127.0.0.1', port: 0, slot, gate, log });
  endpoint = server.endpoint;
  onTestFinished(() => server.close(0));
});

function post(body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(`${endpoint}/v1/completions`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

describe('a completion', () => {
  it('comes in one piece with its usage', async () => {
    const response = await post({ model: 'tiny', prompt: 'Say', max_tokens: 3, temperature: 0 });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      object: 'text_completion',
      model: 'tiny:u8',
      choices: [{ text: 'Once upon a time', index: 0, logprobs: null, finish_reason: 'length' }],
      usage: { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 },
    });
    expect(model.requests[0]).toMatchObject({ prompt: 'Say', maxTokens: 3, temperature: 0 });
  });

  it('comes as server-sent events that end with [DONE]', async () => {
    const response = await post({
      prompt: [1, 2],
      stream: true,
      stream_options: { include_usage: true },
      stop: 'x',
      seed: 7,
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = (await response.text()).trimEnd().split('\n\n');
    expect(events.at(-1)).toBe('data: [DONE]');
    const bodies = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)));
    expect(bodies.map((b) => b.choices[0]?.text).join('')).toBe('Once upon a time');
    expect(bodies.at(-2).choices[0].finish_reason).toBe('length');
    expect(bodies.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 7 } });
    expect(new Set(bodies.map((b) => b.id)).size).toBe(1);
    expect(model.requests[0]).toMatchObject({ prompt: [1, 2], stop: ['x'], seed: 7 });
  });

  it('ends with the token it is at when the client goes away', async () => {
    let letGo: () => void = () => undefined;
    model.hold = new Promise((resolve) => {
      letGo = resolve;
    });
    const leaving = new AbortController();
    const response = await post({ prompt: 'x', stream: true }, leaving.signal);
    leaving.abort();
    await expect(response.text()).rejects.toThrow();
    await vi.waitFor(() => expect(model.requests[0]?.signal.aborted).toBe(true));
    letGo();
    await vi.waitFor(() => expect(model.ended).toBe(1));
    expect(slot.leases).toBe(0);
  });

  it('finishes on the model it began with when another one takes over', async () => {
    let letGo: () => void = () => undefined;
    model.hold = new Promise((resolve) => {
      letGo = resolve;
    });
    const first = post({ prompt: 'x', max_tokens: 2 });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const next = new ScriptedModel();
    next.target = { ...next.target, model: 'next' };
    next.words = ['New'];
    slot.switchTo(next);
    expect(model.closed).toBe(false);
    letGo();
    expect(await (await first).json()).toMatchObject({ model: 'tiny:u8' });
    await vi.waitFor(() => expect(model.closed).toBe(true));
    expect(await (await post({ prompt: 'x' })).json()).toMatchObject({ model: 'next:u8' });
  });

  it('waits in a bounded queue; one more is told to come again', async () => {
    let letGo: () => void = () => undefined;
    model.hold = new Promise((resolve) => {
      letGo = resolve;
    });
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

describe('a bad request', () => {
  it.each([
    ['no JSON', '{', 400, null],
    ['no prompt', {}, 400, 'prompt'],
    ['an empty token list', { prompt: [] }, 400, 'prompt'],
    ['two prompts', { prompt: ['a', 'b'] }, 400, 'prompt'],
    ['negative max_tokens', { prompt: 'x', max_tokens: -1 }, 400, 'max_tokens'],
    ['too hot', { prompt: 'x', temperature: 3 }, 400, 'temperature'],
    ['a list as stop', { prompt: 'x', stop: [1] }, 400, 'stop'],
    ['several choices', { prompt: 'x', n: 2 }, 400, 'n'],
    ['logprobs', { prompt: 'x', logprobs: 3 }, 400, 'logprobs'],
    ['another model', { prompt: 'x', model: 'gpt-4' }, 404, 'model'],
  ])('with %s is refused in OpenAI shape', async (_, body, status, param) => {
    const response = await post(body);
    expect(response.status).toBe(status);
    const answer = (await response.json()) as { error: { message: string } };
    expect(answer).toMatchObject({ error: { type: 'invalid_request_error', param } });
    expect(answer.error.message).not.toBe('');
    expect(model.requests).toEqual([]);
  });

  it('that is too large is refused', async () => {
    const response = await post({ prompt: 'x'.repeat(1024 * 1024) });
    expect(response.status).toBe(413);
  });

  it('to another path or with another method is refused', async () => {
    expect((await fetch(`${endpoint}/v1/nothing`)).status).toBe(404);
    expect((await fetch(`${endpoint}/v1/completions`)).status).toBe(405);
  });
});

describe('an error of the model', () => {
  it('is the caller’s when the prompt is too long, streaming or not', async () => {
    model.failure = new AgentError('ContextExceeded', 'the prompt has 99 tokens');
    for (const stream of [false, true]) {
      const response = await post({ prompt: 'x', stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
    }
  });

  it('is ours otherwise, and is said within a stream that has begun', async () => {
    model.failure = new AgentError('NonFiniteLogits', 'damaged');
    expect((await post({ prompt: 'x' })).status).toBe(500);
    model.failure = null;
    model.hold = Promise.reject(new AgentError('NonFiniteLogits', 'damaged'));
    model.hold.catch(() => undefined);
    const text = await (await post({ prompt: 'x', stream: true })).text();
    expect(text).toContain('"code":"NonFiniteLogits"');
    expect(text).toContain('data: [DONE]');
  });
});

describe('without a model', () => {
  it('completions are refused with 503, health is fine, readiness is not', async () => {
    slot.switchTo(null);
    const response = await post({ prompt: 'x' });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'no_active_model' } });
    expect((await fetch(`${endpoint}/healthz`)).status).toBe(200);
    expect((await fetch(`${endpoint}/readyz`)).status).toBe(503);
    expect(await (await fetch(`${endpoint}/v1/models`)).json()).toEqual({
      object: 'list',
      data: [],
    });
  });

  it('health and the list of models name the model that serves', async () => {
    expect(await (await fetch(`${endpoint}/health`)).json()).toMatchObject({ model: 'tiny:u8' });
    const list = await (await fetch(`${endpoint}/v1/models`)).json();
    expect(list).toMatchObject({ data: [{ id: 'tiny:u8', object: 'model' }] });
  });
});

it('says which port is taken', async () => {
  const port = Number(new URL(endpoint).port);
  const gate = new RequestGate({ concurrency: 1, queueLength: 1 });
  const log = createLog('error');
  await expect(startHttpServer({ host: '127.0.0.1', port, slot, gate, log })).rejects.toMatchObject(
    { reason: 'PortUnavailable', message: expect.stringContaining(`${port}`) },
  );
});
