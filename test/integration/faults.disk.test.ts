import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { mountSmallDisk, type SmallDisk } from '../chaos/small.disk.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { startAgentFromSource } from '../support/agent.process.ts';
import { ApiClient } from '../support/api.client.ts';
import { encodeTinyModel } from '../support/encoded.model.ts';
import { eventually } from '../support/eventually.ts';
import { ScriptedController } from '../support/scripted.controller.ts';
import { startController, startMosquitto, startRedis } from '../support/services.ts';

const TIMEOUT_MS = 200_000;
/** Longer than five attempts with their growing pauses take. */
const FULL_MS = 16_000;

const probe = await temporaryFolder('probe');
const probed = await mountSmallDisk(probe, 1);
await probed?.unmount();
if (probed === undefined) console.warn('SKIPPED full disks: mounting a small one needs root');
const test = it.skipIf(probed === undefined);

let disk: SmallDisk | undefined;
afterEach(async () => {
  await disk?.unmount();
  disk = undefined;
});

async function startOnSmallDisk(use: { blobsOnly: boolean; mebibytes: number }) {
  const folder = await temporaryFolder('controller');
  const blobs = join(folder, 'blobs');
  await mkdir(blobs);
  disk = await mountSmallDisk(use.blobsOnly ? blobs : folder, use.mebibytes);
  const [redis, broker] = await Promise.all([startRedis(), startMosquitto()]);
  const controller = await startController({
    ...{ redisUrl: redis.url, mqttUrl: broker.url, folder },
    environment: { SWEEP_INTERVAL_SECONDS: '1', COMPRESSION_THREADS: '1' },
  });
  return { controller, blobs, api: new ApiClient(controller.url) };
}

async function modelInput(name: string): Promise<object> {
  const path = await writeTinyCheckpoint(join(await temporaryFolder(name), name));
  const evaluation = { rows: 2, rowTokens: 16 };
  const spec = { source: { path }, variants: ['u8'], evaluation };
  return { metadata: { name }, spec: { ...spec, quality: { maxPerplexityRatio: 1000 } } };
}

test(
  'an artifact is made once its full disk has room, without anybody retrying, nothing left over',
  async () => {
    const { api, blobs } = await startOnSmallDisk({ blobsOnly: true, mebibytes: 8 });
    await disk?.fill();
    expect((await api.post('/api/v1/models', await modelInput('tiny'))).status).toBe(202);
    const message = await eventually('the status says why', async () => {
      const [variant] = (await api.model('tiny')).status.variants;
      return /space|disk/i.test(variant?.message ?? '') ? variant?.message : undefined;
    });
    console.log(`a full disk is reported as: ${message}`);
    await sleep(FULL_MS);
    expect((await api.model('tiny')).status.variants[0]?.phase).not.toBe('Ready');
    await disk?.empty();
    const model = await api.modelWhere('tiny', (m) => m.status.variants[0]?.phase === 'Ready');
    const names = await readdir(blobs, { recursive: true });
    expect(names.filter((name) => !name.startsWith('work'))).toEqual([
      `${model.status.variants[0]?.artifactId}.efa`,
    ]);
  },
  TIMEOUT_MS,
);

test(
  'the embedded database survives a full disk: no write is lost that was acknowledged',
  async () => {
    const { api, controller } = await startOnSmallDisk({ blobsOnly: false, mebibytes: 96 });
    expect((await api.post('/api/v1/models', await modelInput('before'))).status).toBe(202);
    await api.finishedModel('before');
    await disk?.fill();
    const acknowledged = ['before'];
    const refused = new Set<number>();
    for (let number = 0; number < 6; number++) {
      const name = `during-${number}`;
      const { status } = await api.post('/api/v1/models', await modelInput(name));
      if (status === 202) acknowledged.push(name);
      else refused.add(status);
      await sleep(300);
    }
    console.log(
      `acknowledged on a full disk: ${acknowledged.length - 1}, refused: ${[...refused]}`,
    );
    expect([...refused].every((status) => status === 503)).toBe(true);
    await disk?.empty();
    const after = await eventually('it takes writes again', async () => {
      const { status } = await api.post('/api/v1/models', await modelInput('after'));
      return status === 202 || status === 409 ? true : undefined;
    });
    expect(after).toBe(true);
    for (const name of [...acknowledged, 'after']) {
      const model = await api.modelWhere(name, (m) => m.status.variants[0]?.phase === 'Ready');
      expect(model.metadata.name).toBe(name);
    }
    await controller.kill9();
    await controller.restart();
    for (const name of [...acknowledged, 'after'])
      expect((await api.model(name)).metadata.name).toBe(name);
  },
  TIMEOUT_MS,
);

async function said(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'once upon', max_tokens: 4, temperature: 0 }),
    });
    const { model } = Object(await response.json());
    return response.ok ? String(model) : undefined;
  } catch {
    return undefined;
  }
}

test(
  'an agent whose disk is full serves again after a power loss, and goes on once there is room',
  async () => {
    const folder = await temporaryFolder('edge-1');
    disk = await mountSmallDisk(folder, 24);
    const [first, second] = await Promise.all(
      ['first', 'second'].map((model, seed) =>
        encodeTinyModel({ model, seed, chunkSizeBytes: 8192 }),
      ),
    );
    if (first === undefined || second === undefined) throw new Error('there are two models');
    const broker = await startMosquitto();
    const controller = await ScriptedController.connect(broker.url, 'edge-1');
    for (const { target, source } of [first, second]) controller.serve(target.artifact.id, source);
    const { process, url } = await startAgentFromSource({
      ...{ device: 'edge-1', mqttUrl: broker.url, folder },
    });
    await controller.want(first.target);
    await controller.reported((report) => report.phase === 'Active');
    for (let losses = 0; losses < 2; losses++) {
      await disk?.fill();
      await process.kill9();
      await process.start();
      const model = await eventually('it serves', () => said(url), { timeoutMs: 30_000 });
      expect(model).toBe('first:u8');
    }
    await disk?.empty();
    await controller.want(second.target);
    await controller.reported((report) => report.active?.model === 'second', 60_000);
    expect(await said(url)).toBe('second:u8');
    await Promise.all([first.source.close(), second.source.close()]);
  },
  TIMEOUT_MS,
);
