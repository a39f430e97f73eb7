import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accepts, freePort } from '../../deploy/private/loopback.port.ts';
import { type PrivateService, startPrivateService } from '../../deploy/private/private.service.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { type CertificateFiles, certificateAuthority } from '../support/certificate.authority.ts';
import { environmentOf, PRESENT_HELMS, renderChart, workloads } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { postgresqlPrograms, startPostgresql } from '../support/postgresql.ts';

const CONTROLLER = join(import.meta.dirname, '../../apps/controller/dist/main.js');
/** What belongs to the pod's surroundings. */
const OF_THE_POD = ['HOST', 'PORT', 'ENTROFLEET_DATA_DIR', 'NODE_EXTRA_CA_CERTS'];

const programs = await postgresqlPrograms();
const canRun = programs !== undefined && PRESENT_HELMS.length > 0;
if (!canRun) console.warn('SKIPPED: external services over TLS: no PostgreSQL or no helm');

interface Services {
  /** URLs, as values of the chart. */
  readonly values: object;
  stop(): Promise<void>;
}

async function startTlsServices(folder: string, files: CertificateFiles): Promise<Services> {
  const { certificatePath, keyPath } = files;
  const redisPort = await freePort();
  const redis = await startPrivateService({
    name: 'redis',
    port: redisPort,
    url: `rediss://127.0.0.1:${redisPort}`,
    folder,
    command: [
      ...(['redis-server', '--bind', '127.0.0.1', '--port', '0', '--dir', folder] as const),
      ...['--tls-port', String(redisPort), '--tls-auth-clients', 'no', '--save', ''],
      ...['--tls-cert-file', certificatePath, '--tls-key-file', keyPath],
      ...['--tls-ca-cert-file', certificatePath],
    ],
    isReady: () => accepts(redisPort),
  });
  const brokerPort = await freePort();
  const config = [
    `listener ${brokerPort} 127.0.0.1`,
    `certfile ${certificatePath}`,
    `keyfile ${keyPath}`,
    'allow_anonymous true',
    ...(process.getuid?.() === 0 ? ['user root'] : []),
  ];
  await writeFile(join(folder, 'mosquitto.conf'), `${config.join('\n')}\n`);
  const broker = await startPrivateService({
    name: 'mosquitto',
    port: brokerPort,
    url: `mqtts://127.0.0.1:${brokerPort}`,
    folder,
    command: ['mosquitto', '-c', join(folder, 'mosquitto.conf')],
    isReady: () => accepts(brokerPort),
  });
  const postgresql = await startPostgresql(programs ?? '', files);
  const databaseUrl = `${postgresql.url}?sslmode=verify-full`;
  return {
    values: {
      kubernetes: { enabled: false },
      caSecret: { name: 'company-ca' },
      postgresql: { bundled: false, externalUrl: databaseUrl },
      redis: { bundled: false, externalUrl: redis.url },
      mosquitto: { bundled: false, externalUrl: broker.url },
    },
    stop: async () => {
      for (const service of [redis, broker, postgresql]) await service.stop();
    },
  };
}

/** The controller's container as a process, with the environment that the chart renders. */
async function startPod(values: object, caPath: string | undefined): Promise<PrivateService> {
  const found = workloads(await renderChart(values)).find(({ id }) => id.endsWith('-controller'));
  if (found === undefined) throw new Error('the chart has no controller');
  const rendered = Object.entries(environmentOf(found));
  expect(rendered.map(([name]) => name)).toEqual(expect.arrayContaining(OF_THE_POD));
  const port = await freePort();
  const own = rendered.filter(([name]) => !OF_THE_POD.includes(name));
  return startPrivateService({
    name: 'controller',
    port,
    url: `http://127.0.0.1:${port}`,
    folder: await temporaryFolder('controller'),
    command: [process.execPath, CONTROLLER],
    environment: {
      ...Object.fromEntries(own.map(([name, value]) => [name, String(value)])),
      HOST: '127.0.0.1',
      PORT: String(port),
      SHUTDOWN_DELAY_SECONDS: '0',
      ENTROFLEET_DATA_DIR: await temporaryFolder('pod-data'),
      ...(caPath === undefined ? {} : { NODE_EXTRA_CA_CERTS: caPath }),
    },
    isReady: () => accepts(port),
  });
}

/** What the process says about each thing that it needs. */
async function checksOf(pod: PrivateService): Promise<Record<string, string>> {
  const answer = await fetch(`${pod.url}/readyz`);
  const { checks } = Object(await answer.json());
  return Object.fromEntries(
    checks.map((check: { name: string; ok: boolean; message: string }) => [
      check.name,
      check.ok ? 'ok' : check.message,
    ]),
  );
}

describe.skipIf(!canRun)('external services over TLS, with certificates of a private CA', () => {
  let services: Services;
  let caPath: string;

  beforeAll(async () => {
    const authority = await certificateAuthority();
    const folder = await temporaryFolder('tls-services');
    caPath = authority.path;
    services = await startTlsServices(folder, await authority.issue('IP:127.0.0.1', folder));
  });
  afterAll(() => services?.stop());

  test('are reached by a controller that has the bundle of caSecret', async () => {
    const pod = await startPod(services.values, caPath);
    await eventually('every check is good', async () => {
      const checks = Object.values(await checksOf(pod));
      return checks.length === 3 && checks.every((text) => text === 'ok') ? true : undefined;
    });
    await pod.stop();
  });

  test('are not trusted without it, and the process says so', async () => {
    const pod = await startPod(services.values, undefined);
    const checks = await eventually('the broker is refused', async () => {
      const found = await checksOf(pod);
      return /certificate/.test(found.broker ?? '') ? found : undefined;
    });
    expect(Object.values(checks)).toHaveLength(3);
    expect(Object.values(checks)).not.toContain('ok');
    await pod.stop();
  });
});
