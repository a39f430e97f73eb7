/**
 * What Kubernetes' API server is asked to write: `make bench-kube`; a table and JSON on standard
 * output, progress on standard error.
 *
 *   node test/bench/kube.bench.ts [--devices 5000] [--rollouts 200] [--seconds 60] [--interval 30]
 *
 * A real API server with its etcd, the real controller with the role kubernetes, PostgreSQL, Redis,
 * Mosquitto; devices are simulated as in fleet.bench.ts. Every Rollout brings a model to devices of
 * its own; writes are what the API server itself counts, while they roll out and afterwards, when
 * nothing changes but every device reports once in the interval.
 */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Kube, startKube } from '../../deploy/private/kube.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { writesByResource, writesSince } from '../support/kube.requests.ts';
import { Kubectl } from '../support/kubectl.ts';
import { CELLS } from './fleet.device.ts';
import { round } from './fleet.meters.ts';
import { type FleetServices, FleetSimulator, startServices } from './fleet.services.ts';

const DEFINITIONS = resolve(import.meta.dirname, '../../charts/entrofleet/crds');
const API_VERSION = 'entrofleet.io/v1alpha1';
const SMALL = { hiddenSize: 32, intermediateSize: 64, layers: 1, vocabularySize: 320 };
const PHASE_MS = 1000;
/** Well over the interval of statuses that differ in numbers only. */
const SETTLE_MS = 15_000;
const WAIT = '--timeout=1500s';

const { values: options } = parseArgs({
  options: {
    devices: { type: 'string', default: '5000' },
    rollouts: { type: 'string', default: String(CELLS) },
    seconds: { type: 'string', default: '60' },
    interval: { type: 'string', default: '30' },
  },
});
const devices = Number(options.devices);
const rollouts = Math.min(CELLS, Number(options.rollouts));
const intervalSeconds = Number(options.interval);
const tell = (line: string) => process.stderr.write(`${line}\n`);

function rolloutOf(cell: number): object {
  return {
    apiVersion: API_VERSION,
    kind: 'Rollout',
    metadata: { name: `cell-${cell}` },
    spec: {
      model: 'tiny',
      variant: 'u8',
      force: true,
      selector: { matchLabels: { cell: String(cell) } },
      strategy: { waves: [{ count: 1 }, { percent: 50 }, { percent: 100 }] },
    },
  };
}

async function modelOf(folder: string): Promise<object> {
  const path = await writeTinyCheckpoint(join(folder, 'tiny'), SMALL);
  const evaluation = { rows: 2, rowTokens: 32 };
  const variants = [{ name: 'u8', recipe: 'u8' }];
  const spec = { source: { path }, variants, evaluation };
  return { apiVersion: API_VERSION, kind: 'Model', metadata: { name: 'tiny' }, spec };
}

interface Counted {
  readonly seconds: number;
  readonly writes: Readonly<Record<string, number>>;
}

interface KubeResult {
  readonly devices: number;
  readonly rollouts: number;
  readonly intervalSeconds: number;
  readonly rolling: Counted;
  readonly steady: Counted & { readonly reports: number };
  readonly steadyWritesPerMinute: { readonly leases: number; readonly others: number };
}

const COLUMNS = ['models', 'rollouts', 'events', 'leases'] as const;

function tableOf({ devices: count, rolling, steady, ...result }: KubeResult): string {
  const row = (name: string, cells: readonly (string | number)[]) =>
    `${name.padEnd(14)}${cells.map((cell) => String(cell).padStart(10)).join('')}\n`;
  const counts = (name: string, { seconds, writes }: Counted) =>
    row(name, [seconds, ...COLUMNS.map((column) => writes[column] ?? 0)]);
  const { leases, others } = result.steadyWritesPerMinute;
  return [
    `${result.rollouts} Rollouts, ${count} devices, ${steady.reports} reports while steady\n`,
    row('writes', ['seconds', ...COLUMNS]),
    counts('rolling out', rolling),
    counts('steady', steady),
    `a minute, steady: ${others} writes, and ${leases} of the leader's Lease\n`,
  ].join('');
}

async function counted(kube: Kube, during: () => Promise<unknown>): Promise<Counted> {
  const [before, startMs] = [await writesByResource(kube), performance.now()];
  await during();
  const writes = writesSince(before, await writesByResource(kube));
  return { seconds: round((performance.now() - startMs) / 1000, 1), writes };
}

async function measure(
  kube: Kube,
  services: FleetServices,
  simulator: FleetSimulator,
): Promise<KubeResult> {
  const kubectl = new Kubectl({ kubeconfigPath: kube.kubeconfigPath });
  await kubectl.apply(await modelOf(services.folder));
  await kubectl.run(['wait', '--for=condition=Ready', 'model/tiny', WAIT]);
  tell('the model is ready');
  await simulator.connect({ port: services.broker.port, devices, phaseMs: PHASE_MS });
  await simulator.reportEvery(1000 * intervalSeconds);
  tell(`${devices} devices are connected`);
  const items = Array.from({ length: rollouts }, (_, cell) => rolloutOf(cell));
  const rolling = await counted(kube, async () => {
    await kubectl.apply({ apiVersion: 'v1', kind: 'List', items });
    const argv = ['wait', '--for=condition=Complete', 'rollouts', '--all', WAIT];
    await kubectl.run(argv, { timeoutMs: 1_600_000 });
  });
  tell(`rolled out: ${JSON.stringify(rolling)}`);
  await sleep(SETTLE_MS);
  const before = await simulator.count();
  const steady = await counted(kube, () => sleep(1000 * Number(options.seconds)));
  const { sent } = await simulator.count();
  const { leases = 0, ...others } = steady.writes;
  const perMinute = (count: number) => round((60 * count) / steady.seconds, 1);
  return {
    ...{ devices, rollouts, intervalSeconds },
    rolling,
    steady: { ...steady, reports: sent - before.sent },
    steadyWritesPerMinute: {
      leases: perMinute(leases),
      others: perMinute(Object.values(others).reduce((sum, count) => sum + count, 0)),
    },
  };
}

const kube = await startKube();
const kubectl = new Kubectl({ kubeconfigPath: kube.kubeconfigPath });
await kubectl.run(['apply', '--server-side', '-f', DEFINITIONS]);
const files = readdirSync(DEFINITIONS).map((name) => `--filename=${join(DEFINITIONS, name)}`);
await kubectl.run(['wait', '--for=condition=Established', ...files]);
const services = await startServices({
  database: 'postgresql',
  environment: {
    ENTROFLEET_ROLES: 'all,kubernetes',
    KUBECONFIG: kube.kubeconfigPath,
    REPORT_INTERVAL_SECONDS: String(intervalSeconds),
  },
});
const simulator = new FleetSimulator();
try {
  const result = await measure(kube, services, simulator);
  process.stdout.write(`${tableOf(result)}${JSON.stringify(result, null, 2)}\n`);
} catch (error) {
  tell(await services.controller.logTail());
  throw error;
} finally {
  simulator.stop();
  await services.stop();
  await kube.stop();
}
