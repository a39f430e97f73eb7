import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { connectAsync } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { accepts, ask, freePort } from '../../deploy/private/loopback.port.ts';
import { type PrivateService, startPrivateService } from '../../deploy/private/private.service.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { certificateAuthority } from '../support/certificate.authority.ts';
import { find, PRESENT_HELMS, renderChart, type Workload, workloads } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import type { Container } from '../support/pod.security.ts';
import { attemptProgram, runProgram } from '../support/program.ts';

const present = PRESENT_HELMS.length > 0;
const PASSWORD = 'Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z';

async function containerOf(values: string | object, id: string, name: string): Promise<Container> {
  const found = workloads(await renderChart(values)).find(
    (workload: Workload) => workload.id === id,
  );
  const containers = [...(found?.pod.initContainers ?? []), ...(found?.pod.containers ?? [])];
  const container = containers.find((candidate) => candidate.name === name);
  if (container === undefined) throw new Error(`no container ${name} in ${id}`);
  return container;
}

/** The container's command on this machine: other paths and ports. */
function commandOf(container: Container, changes: Readonly<Record<string, string>>) {
  const command = (container.command ?? []).map((word) =>
    Object.entries(changes).reduce((text, [from, to]) => text.replaceAll(from, to), word),
  );
  const [program = '', ...args] = command;
  return { program, args, command: [program, ...args] as const };
}

describe.skipIf(!present)('the pod of "helm test"', () => {
  const answers = { '/readyz': { checks: [{ name: 'database', ok: true }] }, '/api/v1/models': {} };

  async function probe(answer: (path: string) => { status: number; body: object }) {
    const server = createServer((request, response) => {
      const { status, body } = answer(request.url ?? '');
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const { args } = commandOf(await containerOf({}, 'Pod/release-entrofleet-test', 'test'), {
      GIVE_UP_MS: 'GIVE_UP_AFTER',
      'const GIVE_UP_AFTER = 60_000': 'const GIVE_UP_AFTER = 3_000',
    });
    const environment = { ENTROFLEET_URL: `http://127.0.0.1:${address.port}` };
    const result = await attemptProgram(process.execPath, args, { environment });
    server.close();
    return result;
  }

  test('passes once the service is ready and lists models', async () => {
    let asked = 0;
    const result = await probe((path) => {
      if (path === '/readyz' && asked++ === 0) return { status: 503, body: { checks: [] } };
      return { status: 200, body: { ...answers['/readyz'], items: [{}, {}] } };
    });
    expect(result.status).toBe(0);
    expect(result.stderr).toContain('not yet: /readyz: 503');
    expect(result.stdout).toMatch(/is ready \(database\) and has 2 models/);
  });

  test('fails when models cannot be listed, and says why', async () => {
    const result = await probe((path) =>
      path === '/readyz'
        ? { status: 200, body: answers['/readyz'] }
        : { status: 500, body: { detail: 'no table' } },
    );
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('/api/v1/models: 500 {"detail":"no table"}');
  });
});

test.skipIf(!present)(
  'the bundled Redis asks for its password, and ends when asked to',
  async () => {
    const port = await freePort();
    const folder = await temporaryFolder('chart-redis');
    const container = await containerOf({}, 'Deployment/release-entrofleet-redis', 'redis');
    const redis = await startPrivateService({
      name: 'redis',
      port,
      url: `redis://127.0.0.1:${port}`,
      folder,
      command: commandOf(container, { '6379': String(port), "'*'": '127.0.0.1', '/tmp': folder })
        .command,
      environment: { REDIS_PASSWORD: PASSWORD },
      isReady: () => accepts(port),
    });
    expect(await ask(port, 'PING\r\n')).toContain('NOAUTH');
    expect(await ask(port, `AUTH ${PASSWORD}\r\n`)).toContain('+OK');
    // Nothing stands between the signal and Redis: a shell as process 1 would take it and do nothing.
    const { stdout } = await attemptProgram('ps', ['-o', 'comm=', '-p', String(redis.pid)]);
    expect(stdout.trim()).toMatch(/^redis-server/);
    await redis.stop();
    expect(await redis.logTail()).toContain('Received SIGTERM');
  },
);

/** The broker of the chart with TLS; /mosquitto of its pod is `root` here. */
async function startBroker(root: string): Promise<PrivateService> {
  const port = await freePort();
  const id = 'StatefulSet/fleet-mosquitto';
  const values = 'edge-values.yaml';
  const changes = { '/mosquitto/': `${root}/`, 'sleep 60': 'sleep 1' };
  const password = commandOf(await containerOf(values, id, 'password'), changes);
  const environment = { MQTT_PASSWORD: PASSWORD };
  await runProgram(password.program, password.args, { environment });
  const { data = {} } = find(await renderChart(values), 'ConfigMap/fleet-mosquitto');
  const config = (data['mosquitto.conf'] ?? '')
    .replaceAll('/mosquitto/', `${root}/`)
    .replace('listener 8883', `listener ${port} 127.0.0.1`);
  // Started by root, Mosquitto would become a user who may not enter the folder.
  const user = process.getuid?.() === 0 ? 'user root\n' : '';
  await writeFile(join(root, 'config/mosquitto.conf'), `${config}\n${user}`);
  return startPrivateService({
    name: 'mosquitto',
    port,
    url: `mqtts://127.0.0.1:${port}`,
    folder: root,
    command: commandOf(await containerOf(values, id, 'mosquitto'), changes).command,
    isReady: () => accepts(port),
  });
}

/** SHA-256 of the certificate that a port shows now. */
async function fingerprintAt(port: number): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

test.skipIf(!present)(
  'the bundled broker takes over a renewed certificate, and drops nobody',
  async () => {
    const authority = await certificateAuthority();
    const root = await temporaryFolder('chart-mosquitto');
    for (const name of ['tls', 'secret', 'config', 'data']) await mkdir(join(root, name));
    const renew = () => authority.issue('DNS:fleet-mosquitto', join(root, 'tls'));
    const first = await renew();
    const broker = await startBroker(root);
    expect(await fingerprintAt(broker.port)).toBe(first.fingerprint);
    const login = { servername: 'fleet-mosquitto', username: 'entrofleet', reconnectPeriod: 0 };
    const trusting = { ...login, ca: authority.certificate };
    const wrong = connectAsync(broker.url, { ...trusting, password: 'wrong' });
    await expect(wrong).rejects.toThrow(/not authori[sz]ed/i);
    const doubting = connectAsync(broker.url, { ...login, password: PASSWORD });
    await expect(doubting).rejects.toThrow(/certificate/);
    const client = await connectAsync(broker.url, { ...trusting, password: PASSWORD });
    let losses = 0;
    client.on('close', () => losses++);
    const second = await renew();
    expect(second.fingerprint).not.toBe(first.fingerprint);
    await eventually('the renewed certificate', async () =>
      (await fingerprintAt(broker.port)) === second.fingerprint ? true : undefined,
    );
    await client.publishAsync('still/here', 'yes', { qos: 1 });
    expect(losses).toBe(0);
    await client.endAsync();
    await broker.stop();
  },
);
