import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../../deploy/private/temporary.folder.ts';
import {
  type ScriptedApiServer,
  type ScriptedRequest,
  scriptedApiServer,
  sendStatus,
} from '../../../../test/support/scripted.api.server.ts';
import { ScriptedResource } from '../../../../test/support/scripted.resource.ts';
import { Log } from '../adapters/log.ts';
import { ROLLOUT_RESOURCE } from './custom.resources.ts';
import { HttpKubeClient } from './http.kube.client.ts';
import { KubeConnection } from './kube.connection.ts';
import { kubeCredentials } from './kube.credentials.ts';
import { ResourceWatch } from './resource.watch.ts';

const SOON = { timeout: 10_000, interval: 5 };
const backoff = { firstBackoffMs: 5, lastBackoffMs: 50, failuresToList: 3 };

let server: ScriptedApiServer;
let resource: ScriptedResource;
let folder: string;
let client: HttpKubeClient;
let watch: ResourceWatch;
let logged: string[];
let seen: string[];
let texts: Map<string, unknown>;
let syncs: number;

beforeEach(async () => {
  resource = new ScriptedResource();
  server = await scriptedApiServer((request) => resource.answer(request));
  folder = await temporaryFolder('service-account');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'token'), 'first\n');
  await writeFile(join(folder, 'ca.crt'), 'unused without TLS');
  const access = { kind: 'ServiceAccount', server: server.url, folder } as const;
  const connection = new KubeConnection(kubeCredentials(access));
  client = new HttpKubeClient({ connection, namespace: 'default' });
  logged = [];
  seen = [];
  texts = new Map();
  syncs = 0;
});
afterEach(async () => {
  await watch.stop();
  client.close();
  await server.close();
});

/** Follows, and keeps by what it is told alone the text of every object. */
function follow(options: { resyncMs?: number; silenceMs?: number } = {}): void {
  watch = new ResourceWatch(client, {
    resource: ROLLOUT_RESOURCE,
    resyncMs: 60_000,
    backoff,
    log: new Log('debug', (line) => logged.push(line)),
    ...options,
  });
  watch.start({
    onSync: () => {
      syncs++;
    },
    onChange: (type, { metadata, spec }) => {
      seen.push(`${type} ${metadata.name}`);
      if (type === 'Deleted') texts.delete(metadata.name);
      else texts.set(metadata.name, Object(spec).text);
    },
  });
}

/** What the followed copies hold is what the server holds. */
async function expectInStep(): Promise<void> {
  const stored = () => [...resource.objects].map(([name, { spec }]) => [name, spec.text]);
  await expect.poll(() => [...texts].toSorted(), SOON).toEqual(stored().toSorted());
  const cached = () =>
    watch.objects.map(({ metadata, spec }) => [metadata.name, Object(spec).text]);
  expect(cached().toSorted()).toEqual(stored().toSorted());
}

/** Answers so once or as often as told, then as the resource does. */
function answerFirst(answer: (request: ScriptedRequest) => void, times = 1): void {
  let left = times;
  server.answer = (request) => (left-- > 0 ? answer(request) : resource.answer(request));
}

const watchesAsked = () => server.asked.filter(({ query }) => query.get('watch') === 'true');
const watching = (count = 1) => expect.poll(() => resource.watches.size, SOON).toBe(count);

describe('ResourceWatch', () => {
  it('lists page by page, then watches from the version of the list', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) resource.set(name);
    follow();
    await watching();
    expect(server.asked.map(({ query }) => query.get('continue'))).toEqual([null, '2', '4', null]);
    expect(watchesAsked()[0]?.query.get('resourceVersion')).toBe('15');
    expect(watchesAsked()[0]?.query.get('allowWatchBookmarks')).toBe('true');
    expect(watch.isSynced).toBe(true);
    expect(syncs).toBe(1);
    resource.set('b', 'changed');
    resource.set('f');
    resource.remove('a');
    await expectInStep();
    expect(seen.slice(5)).toEqual(['Modified b', 'Added f', 'Deleted a']);
  });

  it('reads events however they are cut, and each once', async () => {
    follow();
    await watching();
    const metadata = { name: 'ä', namespace: 'default', uid: 'u', resourceVersion: '11' };
    const event = `${JSON.stringify({ type: 'ADDED', object: { metadata, spec: {} } })}\n`;
    const bytes = Buffer.from(event + event);
    const [response] = resource.watches;
    for (const byte of bytes) {
      response?.write(Buffer.of(byte));
      await sleep(1);
    }
    await expect.poll(() => seen, SOON).toEqual(['Added ä']);
  });

  it('lists again when history is gone, and finds what was deleted meanwhile', async () => {
    for (const name of ['a', 'b', 'c']) resource.set(name);
    follow();
    await watching();
    for (const response of resource.watches) response.destroy();
    resource.remove('b');
    resource.set('c', 'changed');
    resource.forgetHistory();
    await expectInStep();
    expect(seen.slice(3)).toEqual(['Deleted b', 'Modified c']);
    expect(watch.counters).toMatchObject({ lists: 2, failures: 2 });
    await watching();
    resource.set('d');
    await expectInStep();
  });

  it('lists again when the watch itself says so', async () => {
    resource.set('a');
    follow();
    await watching();
    resource.say(`${JSON.stringify({ type: 'ERROR', object: { code: 410, message: 'old' } })}\n`);
    await expect.poll(() => syncs, SOON).toBe(2);
    await watching();
  });

  it('lists from the start when a list has become too old between two pages', async () => {
    for (const name of ['a', 'b', 'c']) resource.set(name);
    let pages = 0;
    server.answer = (request) =>
      ++pages === 2 ? sendStatus(request.response, 410, 'Expired') : resource.answer(request);
    follow();
    await expectInStep();
    expect(seen).toEqual(['Added a', 'Added b', 'Added c']);
  });

  it('replaces a watch that fell silent, and goes on from its last bookmark', async () => {
    resource.set('a');
    follow({ silenceMs: 200 });
    await watching();
    resource.say('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"77"}}}\n');
    server.answer = () => undefined;
    await expect.poll(() => watchesAsked().length, SOON).toBe(2);
    expect(watchesAsked()[1]?.query.get('resourceVersion')).toBe('77');
    expect(watch.counters.stalls).toBeGreaterThan(0);
    await expect.poll(() => resource.watches.size, SOON).toBe(0);
  });

  it('hears of everything through a server that resets and fails', async () => {
    follow();
    await watching();
    for (let round = 0; round < 8; round++) {
      answerFirst(
        round % 2 === 0
          ? ({ response }) => response.destroy()
          : ({ response }) => sendStatus(response, 503),
        round,
      );
      for (const response of resource.watches) response.destroy();
      resource.set(`new-${round}`);
      resource.set('same', String(round));
      if (round > 2) resource.remove(`new-${round - 2}`);
      await expectInStep();
    }
    expect(watch.counters.failures).toBeGreaterThan(8);
  });

  it('reads its token anew when it was replaced, without a failure', async () => {
    server.answer = (request) =>
      request.token === 'second' ? resource.answer(request) : refuse(request);
    const refuse = async ({ response }: ScriptedRequest) => {
      await writeFile(join(folder, 'token'), 'second\n');
      sendStatus(response, 401, 'Unauthorized');
    };
    resource.set('a');
    follow();
    await expectInStep();
    await watching();
    expect(watch.counters).toMatchObject({ lists: 1, failures: 0 });
  });

  it('reports who refuses it once, and works as soon as it may', async () => {
    answerFirst(({ response }) => sendStatus(response, 403, 'Forbidden'), 5);
    resource.set('a');
    follow();
    await expectInStep();
    const warnings = logged.filter((line) => line.includes('"warn"'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('scripted failure 403');
  });

  it('leaves out what is no object, and hears the rest', async () => {
    follow();
    await watching();
    resource.say('{"type":"ADDED","object":{"metadata":{"name":"bad"}}}\n<html>\n{"type":"NEW"}\n');
    resource.set('good');
    await expectInStep();
    expect(watch.counters).toMatchObject({ malformed: 3, failures: 0, watches: 1 });
    expect(logged.join()).toContain('bad');
  });

  it('lists again after every resync period, without reporting what it knows', async () => {
    resource.set('a');
    follow({ resyncMs: 2100 });
    await expect.poll(() => syncs, SOON).toBe(3);
    expect(seen).toEqual(['Added a']);
  });

  it('outlives a handler that throws', async () => {
    watch = new ResourceWatch(client, {
      resource: ROLLOUT_RESOURCE,
      resyncMs: 60_000,
      log: new Log('debug', (line) => logged.push(line)),
    });
    const names: string[] = [];
    watch.start({
      onSync: () => {
        throw new Error('in onSync');
      },
      onChange: (_type, { metadata }) => {
        names.push(metadata.name);
        throw new Error('in onChange');
      },
    });
    await watching();
    resource.set('a');
    resource.set('b');
    await expect.poll(() => names, SOON).toEqual(['a', 'b']);
    expect(logged.filter((line) => line.includes('handler of a watch failed'))).toHaveLength(3);
  });

  it('is quiet once stopped, and can be started again', async () => {
    resource.set('a');
    follow();
    await watching();
    await watch.stop();
    await watching(0);
    resource.set('b');
    await sleep(50);
    expect(seen).toEqual(['Added a']);
    watch.start({ onSync: () => undefined, onChange: (type, o) => seen.push(type + o.spec) });
    await expect.poll(() => seen.length, SOON).toBe(2);
  });
});
