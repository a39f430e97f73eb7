import { connect } from 'node:net';
import {
  FleetClient,
  RequestRefused,
  type Rollout,
  unwrap,
  type WatchEvent,
  watch,
} from '@entrofleet/client';
import { problemSchema } from '@entrofleet/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const PATH = '/api/v1/rollouts';
type Told = WatchEvent<typeof PATH>;

/** What a watch has told so far, as `ADDED name`. */
class Watcher {
  readonly told: Told[] = [];
  readonly #stop = new AbortController();
  readonly ended: Promise<unknown>;

  constructor(client: FleetClient, query: { resourceVersion?: string; labelSelector?: string }) {
    this.ended = this.#run(client, query).catch((error: unknown) => error);
  }

  async #run(client: FleetClient, query: object): Promise<void> {
    for await (const event of watch(client, PATH, { query, signal: this.#stop.signal })) {
      this.told.push(event);
    }
  }

  get lines(): string[] {
    return this.told.flatMap((event) =>
      event.type === 'BOOKMARK' ? [] : [`${event.type} ${event.object.metadata.name}`],
    );
  }

  async until(line: string): Promise<void> {
    await eventually(line, () => (this.lines.includes(line) ? true : undefined), {
      timeoutMs: 10_000,
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}

describe('watching over HTTP', () => {
  let redis: RedisService;
  let broker: PrivateService;
  let controller: PrivateService;
  let client: FleetClient;
  const watchers: Watcher[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    broker = await startMosquitto();
    controller = await startController({
      redisUrl: redis.url,
      mqttUrl: broker.url,
      environment: { SWEEP_INTERVAL_SECONDS: '1', WATCH_HISTORY_SECONDS: '2' },
    });
    client = new FleetClient({ server: controller.url });
  });
  afterEach(async () => {
    for (const watcher of watchers.splice(0)) await watcher.stop();
    const { items } = await unwrap(client.api.GET(PATH));
    for (const { metadata } of items) await remove(metadata.name);
  });
  afterAll(async () => {
    for (const service of [controller, broker, redis]) await service?.stop();
  });

  function start(query: { resourceVersion?: string; labelSelector?: string } = {}): Watcher {
    const watcher = new Watcher(client, query);
    watchers.push(watcher);
    return watcher;
  }

  function create(name: string, labels: Record<string, string> = {}): Promise<Rollout> {
    const selector = { matchLabels: { site: 'nowhere' } };
    const body = { metadata: { name, labels }, spec: { selector, model: 'none', paused: true } };
    return unwrap(client.api.POST(PATH, { body }));
  }

  async function remove(name: string): Promise<void> {
    await unwrap(client.api.DELETE('/api/v1/rollouts/{name}', { params: { path: { name } } }));
  }

  const listed = async () => (await unwrap(client.api.GET(PATH))).metadata.resourceVersion ?? '';
  const watchUrl = (query: string) => `${controller.url}${PATH}?watch=true${query}`;

  it('tells two watchers the same, in the same order, from the version of a list', async () => {
    await create('before');
    const resourceVersion = await listed();
    const [first, second] = [start({ resourceVersion }), start({ resourceVersion })];
    await create('a');
    await create('b', { tier: 'gold' });
    // What comes and goes between two looks at the database is told to nobody.
    await first.until('ADDED a');
    await second.until('ADDED a');
    await remove('a');
    await first.until('DELETED a');
    await second.until('DELETED a');
    await create('last');
    await first.until('ADDED last');
    await second.until('ADDED last');
    const byName = (watcher: Watcher, name: string) =>
      watcher.lines.filter((line) => line.endsWith(` ${name}`)).map((line) => line.split(' ')[0]);
    for (const watcher of [first, second]) {
      expect(byName(watcher, 'a').at(0)).toBe('ADDED');
      expect(byName(watcher, 'a').at(-1)).toBe('DELETED');
      expect(byName(watcher, 'b').at(0)).toBe('ADDED');
      expect(byName(watcher, 'before')).not.toContain('ADDED');
    }
  });

  it('begins with what is there, and a selection follows labels', async () => {
    await create('gold', { tier: 'gold' });
    await create('plain');
    const watcher = start({ labelSelector: 'tier=gold' });
    await watcher.until('ADDED gold');
    await create('more', { tier: 'gold' });
    await watcher.until('ADDED more');
    expect(watcher.lines.filter((line) => line.endsWith('plain'))).toEqual([]);
  });

  it('goes on after a lost connection with the header Last-Event-ID', async () => {
    const resourceVersion = await listed();
    const reader = await fetch(watchUrl(`&resourceVersion=${resourceVersion}`));
    expect(reader.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await create('seen');
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of reader.body ?? expect.fail()) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes('"name":"seen"')) break;
    }
    const id = [...text.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? expect.fail();
    await create('missed');
    // The header wins over the version in the address, which a browser repeats.
    const again = await fetch(watchUrl(`&resourceVersion=${resourceVersion}`), {
      headers: { 'last-event-id': id },
    });
    let rest = '';
    for await (const chunk of again.body ?? expect.fail()) {
      rest += decoder.decode(chunk, { stream: true });
      if (rest.includes('"name":"missed"')) break;
    }
    expect(rest).not.toMatch(/"type":"ADDED","object":\{"metadata":\{"name":"seen"/);
  });

  it('survives a restart of the controller', async () => {
    const watcher = start({ resourceVersion: await listed() });
    await create('early');
    await watcher.until('ADDED early');
    await controller.restart();
    await create('late');
    await watcher.until('ADDED late');
    expect(watcher.lines.filter((line) => line === 'ADDED early')).toHaveLength(1);
  });

  it('answers 410 when deletions since a version are forgotten', async () => {
    await create('gone');
    const resourceVersion = await listed();
    await remove('gone');
    const expired = await eventually('410', async () => {
      const probe = new AbortController();
      const response = await fetch(watchUrl(`&resourceVersion=${resourceVersion}`), {
        signal: probe.signal,
      });
      const problem =
        response.status === 410 ? problemSchema.parse(await response.json()) : undefined;
      probe.abort();
      return problem;
    });
    expect(expired).toMatchObject({ status: 410, reason: 'Expired', title: 'Gone' });
    expect(expired.detail).toContain('list again');
    const error = await start({ resourceVersion }).ended;
    expect(error).toBeInstanceOf(RequestRefused);
    const unborn = await fetch(watchUrl('&resourceVersion=999999999999'));
    expect(unborn.status).toBe(410);
    const nonsense = await fetch(watchUrl('&resourceVersion=new'));
    expect(await nonsense.json()).toMatchObject({ status: 400, reason: 'BadResourceVersion' });
  });

  it('refuses what it does not know, and names what it does', async () => {
    const bad = await fetch(`${controller.url}/api/v1/devices?fieldSelector=status.colour%3Dred`);
    const problem = problemSchema.parse(await bad.json());
    expect(problem).toMatchObject({ status: 400, reason: 'BadFieldSelector' });
    expect(problem.detail).toContain('status.report.active.model');
    expect((await fetch(watchUrl('&watch=maybe'))).status).toBe(400);
  });

  it('ends streams when the controller stops', async () => {
    const { port } = new URL(controller.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(`GET ${PATH}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    const before = Date.now();
    await controller.stop();
    await closed;
    expect(Date.now() - before).toBeLessThan(10_000);
    await controller.restart();
  });
});
