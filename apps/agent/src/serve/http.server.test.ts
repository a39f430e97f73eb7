import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ScriptedModel } from '../../../../test/fixtures/scripted.model.ts';
import {
  holdModel,
  type ScriptedServer,
  startScriptedServer,
} from '../../../../test/fixtures/scripted.server.ts';
import { createLog } from '../log.ts';

let server: ScriptedServer;
let model: ScriptedModel;
let slot: ScriptedServer['slot'];
let endpoint: string;
let post: ScriptedServer['post'];

beforeEach(async () => {
  server = await startScriptedServer();
  ({ model, slot, endpoint, post } = server);
});

describe('a bad request', () => {
  it('that is too large is refused, whether or not it says so beforehand', async () => {
    const large = 'x'.repeat(2 * 1024 * 1024);
    expect((await post({ prompt: large })).status).toBe(413);
    const socket = connect(server.port, '127.0.0.1');
    socket.write(
      'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n' +
        'transfer-encoding: chunked\r\n\r\n',
    );
    socket.write(`${large.length.toString(16)}\r\n${large}\r\n1\r\nx\r\n`);
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1.1 413 /);
    socket.destroy();
  });

  it.each([
    ['no type', 'text/plain', {}],
    ['another character set', 'application/json; charset=latin1', {}],
    ['compression', 'application/json', { 'content-encoding': 'gzip' }],
  ])('with %s is refused with 415', async (_, type, more) => {
    const headers = { 'content-type': type, ...more };
    const response = await post({ prompt: 'x' }, { headers });
    expect(response.status).toBe(415);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
  });

  it('to another path or with another method is refused', async () => {
    const unknown = await fetch(`${endpoint}/v1/nothing`);
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ error: { code: 'unknown_url' } });
    const get = await fetch(`${endpoint}/v1/completions`);
    expect(get.status).toBe(405);
    expect(get.headers.get('allow')).toBe('POST, OPTIONS');
    expect(await get.json()).toMatchObject({ error: { code: 'method_not_allowed' } });
  });

  it('that is no HTTP, or too slow, is answered too', async () => {
    const timeouts = { headMs: 200, requestMs: 300, idleMs: 1000, writeStallMs: 1000 };
    const { port } = await startScriptedServer({ timeouts });
    const say = async (text: string) => {
      const socket = connect(port, '127.0.0.1');
      socket.write(text);
      const [answer] = await once(socket, 'data');
      await once(socket, 'close');
      return String(answer);
    };
    expect(await say('nonsense\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*"invalid_request_error"/s);
    expect(await say('GET /health HTTP/1.1\r\nhost: x\r\n')).toMatch(/^HTTP\/1.1 408 /);
  });
});

describe('the client', () => {
  it('that goes away ends the generation with the token it is at', async () => {
    holdModel(model);
    const leaving = new AbortController();
    const response = await post({ prompt: 'x', stream: true }, { signal: leaving.signal });
    leaving.abort();
    await expect(response.text()).rejects.toThrow();
    await vi.waitFor(() => expect(model.requests[0]?.signal?.aborted).toBe(true));
    await vi.waitFor(() => expect(model.ended).toBe(1));
    expect(slot.leases).toBe(0);
  });

  it('that goes away in the middle of its request is no error of ours', async () => {
    const lines: string[] = [];
    const log = createLog('debug', (line) => lines.push(line));
    const { port } = await startScriptedServer({ log });
    const socket = connect(port, '127.0.0.1');
    socket.write(
      'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n' +
        'content-length: 100\r\n\r\n{',
    );
    await sleep(50);
    socket.destroy();
    await vi.waitFor(() => expect(lines.join('')).toContain('499'));
    expect(lines.join('')).not.toContain('error');
  });

  it('that goes away while it waits gives its place to the next', async () => {
    const letGo = holdModel(model);
    const running = post({ prompt: 'first' });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const leaving = new AbortController();
    const gone = post({ prompt: 'second' }, { signal: leaving.signal }).catch(() => 'gone');
    await sleep(30);
    leaving.abort();
    expect(await gone).toBe('gone');
    await sleep(30);
    const next = post({ prompt: 'third' });
    letGo();
    expect((await next).status).toBe(200);
    expect((await running).status).toBe(200);
    expect(model.requests).toHaveLength(2);
  });

  it.each([true, false])(
    'that takes nothing of its answer is cut off, stream: %s',
    async (stream) => {
      const timeouts = { headMs: 1000, requestMs: 1000, idleMs: 1000, writeStallMs: 100 };
      const { model, slot, port } = await startScriptedServer({ timeouts });
      model.words = Array(400).fill('x'.repeat(100_000));
      const socket = connect(port, '127.0.0.1');
      const body = JSON.stringify({ prompt: 'x', stream, max_tokens: 400 });
      socket.write(
        'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n' +
          `content-length: ${body.length}\r\n\r\n${body}`,
      );
      socket.pause();
      await vi.waitFor(() => expect(model.ended).toBe(1), 5000);
      expect(slot.leases).toBe(0);
      await vi.waitFor(async () => {
        const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
        expect(text).toMatch(/http_requests_total\{route="\/v1\/completions",.*code="499"\} 1/);
      }, 5000);
      socket.destroy();
    },
  );
});

describe('without a model', () => {
  it('texts are refused with 503, the agent is alive, and not ready', async () => {
    slot.switchTo(null);
    const response = await post({ prompt: 'x' });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'no_active_model' } });
    expect((await fetch(`${endpoint}/healthz`)).status).toBe(200);
    for (const path of ['/readyz', '/health']) {
      const health = await fetch(endpoint + path);
      expect(health.status).toBe(503);
      expect(await health.json()).toEqual({ status: 'no model is active', model: null });
    }
    const list = await (await fetch(`${endpoint}/v1/models`)).json();
    expect(list).toEqual({ object: 'list', data: [] });
  });
});

describe('about itself', () => {
  it('it names the model that serves', async () => {
    const health = await fetch(`${endpoint}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toEqual({ status: 'serving', model: 'tiny:u8' });
    const list = await (await fetch(`${endpoint}/v1/models`)).json();
    expect(list).toMatchObject({ data: [{ id: 'tiny:u8', object: 'model' }] });
    for (const name of ['tiny:u8', 'tiny', 'tiny%3Au8']) {
      const shown = await (await fetch(`${endpoint}/v1/models/${name}`)).json();
      expect(shown).toMatchObject({ id: 'tiny:u8', created: 1_700_000_000, context_length: 64 });
    }
    const other = await fetch(`${endpoint}/v1/models/gpt-4`);
    expect(other.status).toBe(404);
    expect(await other.json()).toMatchObject({ error: { code: 'model_not_found' } });
  });

  it('it answers HEAD without a body and OPTIONS with what is allowed', async () => {
    const head = await fetch(`${endpoint}/health`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(await head.text()).toBe('');
    const options = await fetch(`${endpoint}/v1/models`, { method: 'OPTIONS' });
    expect(options.status).toBe(204);
    expect(options.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
    expect((await fetch(`${endpoint}/nothing`, { method: 'OPTIONS' })).status).toBe(404);
  });
});

describe('at its end', () => {
  it('it finishes what runs within the time it is given', async () => {
    const letGo = holdModel(model);
    const running = post({ prompt: 'x', max_tokens: 2 });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const closed = server.http.close(5000);
    await expect(post({ prompt: 'x' })).rejects.toThrow();
    letGo();
    expect((await running).status).toBe(200);
    await closed;
  });

  it('it tells those whom it cannot let finish, within a stream', async () => {
    holdModel(model);
    const running = await post({ prompt: 'x', stream: true });
    const closed = server.http.close(20);
    const text = await running.text();
    expect(text).toContain('"code":"shutting_down"');
    expect(text).toContain('data: [DONE]');
    await closed;
  });

  it('it tells those whom it cannot let finish', async () => {
    holdModel(model);
    const running = post({ prompt: 'x' });
    await vi.waitFor(() => expect(slot.leases).toBe(1));
    const closed = server.http.close(20);
    const answer = await running;
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: 'shutting_down' } });
    await closed;
  });
});

it('says which port is taken', async () => {
  const { port } = server;
  await expect(startScriptedServer({ port })).rejects.toMatchObject({
    reason: 'PortUnavailable',
    message: expect.stringContaining(`${port}`),
  });
});
