import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Device, Rollout } from '@entrofleet/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RestClient } from '../../deploy/demo/rest.client.ts';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { eventually } from '../support/eventually.ts';
import { type NetworkedDevice, openNetworkLab } from '../support/network.lab.ts';
import { startController, startMosquitto, startRedis } from '../support/services.ts';

const AGENT = resolve(import.meta.dirname, '../../apps/agent/dist/main.js');
const TIMEOUT_MS = 240_000;
const WAIT = { timeoutMs: 120_000 };
const WINDOW_CHUNKS = 2;
const CHUNK_BYTES = 256 * 1024;

const lab = await openNetworkLab();
if (lab === undefined) {
  console.warn('SKIPPED real networks: namespaces need root and iproute2 (ip, tc)');
} else {
  console.warn(`faults of real networks by ${lab.summary}`);
  await lab.close();
}

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'entrofleet-network-'));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

interface RunningAgent {
  readonly name: string;
  readonly url: string;
  readonly network: NetworkedDevice;
  readonly process: SupervisedProcess;
}

async function startAgentIn(
  network: NetworkedDevice,
  use: { name: string; brokerPort: number },
): Promise<RunningAgent> {
  const { name, brokerPort } = use;
  const port = await freePort();
  const url = `http://${network.controlAddress}:${port}`;
  const process_ = new SupervisedProcess({
    name,
    command: ['ip', 'netns', 'exec', network.namespace, process.execPath, AGENT],
    environment: {
      ...{ ENTROFLEET_DEVICE: name, ENTROFLEET_LABELS: 'site=lab' },
      ENTROFLEET_DATA_DIR: await temporaryFolder(name),
      MQTT_URL: `mqtt://${network.hostAddress}:${brokerPort}`,
      ...{ HOST: '0.0.0.0', PORT: String(port), THREADS: '1', REPORT_INTERVAL_SECONDS: '2' },
      ...{ WINDOW_CHUNKS: String(WINDOW_CHUNKS), STALL_MS: '1500', DISK_MARGIN_MIB: '1' },
    },
    logPath: join(scratch, `${name}.log`),
    isReady: () =>
      fetch(`${url}/healthz`).then(
        (answer) => answer.ok,
        () => false,
      ),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 15_000,
  });
  await process_.start();
  return { name, url, network, process: process_ };
}

async function said(agent: RunningAgent): Promise<unknown> {
  const response = await fetch(`${agent.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'once upon a time', max_tokens: 8, temperature: 0 }),
  });
  const { choices } = Object(await response.json());
  return choices?.[0]?.text;
}

async function startHouse(addresses: readonly string[]) {
  const [redis, broker] = await Promise.all([startRedis(), startMosquitto({ addresses })]);
  const environment = {
    ...{ SWEEP_INTERVAL_SECONDS: '1', REPORT_INTERVAL_SECONDS: '2', COMPRESSION_THREADS: '2' },
  };
  const urls = { redisUrl: redis.url, mqttUrl: broker.url };
  const controller = await startController({ ...urls, environment });
  return { broker, client: new RestClient(controller.url) };
}

/** About 4 MB of artifact: seconds of work for a poor line. */
async function postModel(client: RestClient): Promise<number> {
  const path = await writeTinyCheckpoint(join(scratch, 'model'), {
    ...{ hiddenSize: 256, intermediateSize: 704, layers: 5, vocabularySize: 4096 },
  });
  const spec = {
    ...{ source: { path }, variants: ['u8'], quality: { maxPerplexityRatio: 1000 } },
    evaluation: { rows: 2, rowTokens: 32 },
  };
  await client.createModel({ metadata: { name: 'tiny' }, spec });
  return eventually(
    'the model is ready',
    async () => {
      const [variant] = (await client.model('tiny')).status.variants;
      return variant?.phase === 'Ready' ? variant.quality?.sizeBytes : undefined;
    },
    WAIT,
  );
}

function deviceWhere(
  client: RestClient,
  name: string,
  of: { what: string; holds: (device: Device) => boolean },
): Promise<Device> {
  return eventually(
    `${name} ${of.what}`,
    async () => {
      const found = (await client.devices()).find((d) => d.metadata.name === name);
      return found !== undefined && of.holds(found) ? found : undefined;
    },
    WAIT,
  );
}

function rolloutWhere(client: RestClient, holds: (rollout: Rollout) => boolean): Promise<Rollout> {
  return eventually(
    'the rollout',
    async () => {
      const rollout = await client.rollout('lab');
      return holds(rollout) ? rollout : undefined;
    },
    WAIT,
  );
}

const isActive = ({ status }: Device): boolean => status.report?.phase === 'Active';

it.skipIf(lab === undefined)(
  'a lossy, a slow and a cut line: nobody waits for them, all arrive, nothing is fetched twice',
  async () => {
    const network = await openNetworkLab();
    if (network === undefined) throw new Error('the network lab was there a moment ago');
    const agents: RunningAgent[] = [];
    try {
      // given a device behind a line that loses packets, a slow one, and one to be cut off
      const names = ['lossy', 'slow', 'cut'];
      const places = await Promise.all([...names.keys()].map(() => network.addDevice()));
      const { broker, client } = await startHouse(places.map((place) => place.hostAddress));
      const sizeBytes = await postModel(client);
      for (const [index, place] of places.entries()) {
        const name = names[index] ?? '';
        agents.push(await startAgentIn(place, { name, brokerPort: broker.port }));
        await deviceWhere(client, name, { what: 'is known', holds: (d) => d.status.online });
      }
      const [lossy, slow, cut] = agents;
      if (network.abilities.loss) await lossy?.network.shape({ lossPercent: 3 });
      if (network.abilities.rate) await slow?.network.shape({ bitsPerSecond: 6_000_000 });
      if (network.abilities.rate) await cut?.network.shape({ bitsPerSecond: 6_000_000 });
      // when all are to have a model, and the cable of one is pulled in the middle of its download
      await client.createRollout({
        metadata: { name: 'lab' },
        spec: {
          ...{ selector: { matchLabels: { site: 'lab' } }, model: 'tiny', variant: 'u8' },
          strategy: { waves: [{ percent: 100 }], progressDeadlineSeconds: 200 },
        },
      });
      const halfWay = await deviceWhere(client, 'cut', {
        what: 'is in the middle of its download',
        holds: ({ status }) => (status.report?.download?.bytesHeld ?? 0) > 0.2 * sizeBytes,
      });
      expect(halfWay.status.report?.phase).toBe('Downloading');
      await cut?.network.setUp(false);
      // then the others are done without it, although their lines are poor
      const others = await rolloutWhere(client, ({ status }) => status.phase === 'Complete');
      expect(others.status.counts).toMatchObject({ active: 2, offline: 1 });
      // and once both ends of the dead connection have noticed, and the cable is back, it goes on
      await eventually(
        'the agent notices',
        async () => ((await cut?.process.logTail())?.includes('trying again') ? true : undefined),
        WAIT,
      );
      await cut?.network.setUp(true);
      const back = await deviceWhere(client, 'cut', { what: 'serves', holds: isActive });
      const received = back.status.report?.download?.bytesReceived ?? 0;
      expect(received).toBeGreaterThanOrEqual(sizeBytes * 0.99);
      expect(received).toBeLessThanOrEqual(sizeBytes + WINDOW_CHUNKS * CHUNK_BYTES);
      await rolloutWhere(client, ({ status }) => status.counts.active === 3);
      const texts = await Promise.all(agents.map(said));
      expect(String(texts[0]).length).toBeGreaterThan(3);
      expect(new Set(texts).size).toBe(1);
    } finally {
      for (const agent of agents) await agent.process.kill9();
      await network.close();
    }
  },
  TIMEOUT_MS,
);
