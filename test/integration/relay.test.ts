import { NO_CAPS } from '@entrofleet/distribution';
import { Bitmap, topics, wantSchema } from '@entrofleet/protocol';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { type AgentProcess, startAgentFromSource } from '../support/agent.process.ts';
import { type EncodedModel, encodeTinyModel } from '../support/encoded.model.ts';
import { ScriptedSite } from '../support/scripted.site.ts';
import { startMosquitto } from '../support/services.ts';

const RELAY = 'edge-1';
const NEIGHBOURS = ['edge-2', 'edge-3', 'edge-4'];
const ALL = [RELAY, ...NEIGHBOURS];

let first: EncodedModel;
let second: EncodedModel;
let third: EncodedModel;
let large: EncodedModel;
beforeAll(async () => {
  const shape = { chunkSizeBytes: 8192, hiddenSize: 192 };
  first = await encodeTinyModel({ ...shape, model: 'first', seed: 1 });
  second = await encodeTinyModel({ ...shape, model: 'second', seed: 2 });
  third = await encodeTinyModel({ ...shape, model: 'third', seed: 3 });
  large = await encodeTinyModel({ ...shape, model: 'large', seed: 4, hiddenSize: 256 });
});
afterAll(async () => {
  for (const { source } of [first, second, third, large]) await source.close();
});

/** The site's uplink takes this long for one copy. */
const COPY_SECONDS = 4;

async function site(devices: readonly string[], more: Record<string, string> = {}) {
  const [main, local] = [await startMosquitto(), await startMosquitto()];
  const totalBytesPerSecond = Math.round(first.target.artifact.sizeBytes / COPY_SECONDS);
  const caps = { ...NO_CAPS, totalBytesPerSecond };
  const controller = await ScriptedSite.connect({ url: main.url, caps });
  const agents = new Map<string, AgentProcess>();
  const environment = { RELAY_MQTT_URL: local.url, RELAY_PATIENCE_SECONDS: '1', THREADS: '1' };
  for (const device of devices) {
    const role = { ENTROFLEET_RELAY: String(device === RELAY) };
    const own = { ...environment, ...role, WINDOW_CHUNKS: '16', ...more };
    agents.set(device, await startAgentFromSource({ device, mqttUrl: main.url, environment: own }));
  }
  const relay = agents.get(RELAY)?.process;
  return { main, local, controller, relay, agents };
}

function expectOneCopy(controller: ScriptedSite, model: EncodedModel): void {
  const copies = controller.deliveredBytes(model) / model.target.artifact.sizeBytes;
  // Models share small chunks, which are not fetched again.
  expect(copies).toBeGreaterThan(0.9);
  expect(copies).toBeLessThanOrEqual(1.1);
}

/** Until all agents and the relay are back at a broker that has forgotten them. */
async function connectedAgain(url: string): Promise<void> {
  const client = await connectAsync(url, { protocolVersion: 5 });
  onTestFinished(() => client.endAsync());
  const present = new Set<string>();
  client.on('message', (topic) => present.add(topic));
  await client.subscribeAsync([topics.everyPresence, topics.relay], { qos: 1 });
  // Agents wait longer and longer between attempts to reach a broker that is away.
  const all = [...ALL.map((device) => topics.presence(device)), topics.relay].sort();
  await vi.waitFor(() => expect([...present].sort()).toEqual(all), 60_000);
}

it('costs one copy over the main broker for all devices of a site', async () => {
  const { controller } = await site(ALL);
  await controller.want(ALL.slice(0, -1), first);
  await controller.converged(ALL.slice(0, -1), first);
  await controller.want(ALL, first);
  await controller.converged(ALL, first);
  expect(controller.askedFor(first)).toEqual([RELAY]);
  expectOneCopy(controller, first);
});

it('does without a relay that is killed half-way, and comes back to it', async () => {
  const { controller, relay } = await site(ALL);
  const { sizeBytes } = first.target.artifact;
  await controller.want(ALL, first);
  await vi.waitFor(() => expect(controller.deliveredBytes(first)).toBeGreaterThan(sizeBytes / 3), {
    timeout: 30_000,
    interval: 10,
  });
  await relay?.kill9();
  expect(controller.askedFor(first)).toEqual([RELAY]);
  await controller.converged(NEIGHBOURS, first);
  expect(controller.askedFor(first)).toEqual(ALL);
  await relay?.start();
  await controller.converged(ALL, first);
  await controller.want(ALL, second);
  await controller.converged(ALL, second);
  expectOneCopy(controller, second);
});

it('does without the broker of the site, and comes back to it', async () => {
  // On a busy machine a relay that has just come back may be slow, which is no reason to leave it.
  const { controller, local } = await site(ALL, { RELAY_PATIENCE_SECONDS: '5' });
  await local.kill9();
  await controller.want(ALL, first);
  await controller.converged(ALL, first);
  expect(controller.askedFor(first)).toEqual(ALL);
  await local.restart();
  await connectedAgain(local.url);
  await controller.want(ALL, third);
  await controller.converged(ALL, third);
  expectOneCopy(controller, third);
});

it('does without a relay that has no room for what is wanted', async () => {
  const { controller } = await site(ALL, { RELAY_DISK_MIB: '1' });
  expect(large.target.artifact.sizeBytes).toBeGreaterThan(1024 * 1024);
  await controller.want(ALL, large);
  await controller.converged(ALL, large);
  expect(controller.askedFor(large)).toEqual(ALL);
});

it('takes no harm from a relay that hands out corrupt chunks', async () => {
  const { controller, local } = await site(NEIGHBOURS);
  const forger = await connectAsync(local.url, { protocolVersion: 5 });
  onTestFinished(() => forger.endAsync());
  forger.on('message', (_, payload) => {
    const want = wantSchema.parse(JSON.parse(payload.toString()));
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    for (const index of [...lacking.indices()].slice(0, want.window)) {
      void forger.publishAsync(topics.chunk(want.artifact, index), Buffer.alloc(8192, 7));
    }
  });
  await forger.subscribeAsync(topics.everyWant);
  const presence = JSON.stringify({ schemaVersion: 1, device: 'forger', online: true });
  await forger.publishAsync(topics.relay, presence, { qos: 1, retain: true });
  await controller.want(NEIGHBOURS, first);
  await controller.converged(NEIGHBOURS, first);
  for (const device of NEIGHBOURS) {
    const { download } = controller.reports.get(device) ?? {};
    expect(download?.chunksCorrupt).toBeGreaterThan(0);
  }
});
