import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { accepts, ask } from '../../deploy/private/loopback.port.ts';
import { ServiceError, SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { startMosquitto, startRedis } from '../support/services.ts';

const SERVICES = resolve(import.meta.dirname, '../../deploy/private/services.ts');

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await holds()) return true;
    await sleep(50);
  }
  return false;
}

test('a killed Redis is gone, comes back empty on its port, and flushes', async () => {
  const redis = await startRedis();
  expect(await ask(redis.port, 'SET a 1\r\n')).toBe('+OK\r\n');
  await redis.kill9();
  expect(await accepts(redis.port)).toBe(false);
  await redis.restart();
  expect(await ask(redis.port, 'GET a\r\n')).toBe('$-1\r\n');
  await ask(redis.port, 'SET b 1\r\n');
  await redis.flush();
  expect(await ask(redis.port, 'DBSIZE\r\n')).toBe(':0\r\n');
});

test('a stopped Mosquitto accepts nothing until it is restarted', async () => {
  const mosquitto = await startMosquitto();
  await mosquitto.stop();
  expect(await accepts(mosquitto.port)).toBe(false);
  await mosquitto.restart();
  expect(await accepts(mosquitto.port)).toBe(true);
});

test('a service that ends at once is an error that holds its log', async () => {
  const folder = await temporaryFolder('broken');
  const broken = new SupervisedProcess({
    name: 'broken',
    command: ['sh', '-c', 'echo cannot find my configuration; exit 3'],
    environment: {},
    logPath: `${folder}/log`,
    isReady: async () => false,
    readyTimeoutMs: 10_000,
    stopTimeoutMs: 1000,
  });
  const failure = await broken.start().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ServiceError);
  expect(String(failure)).toContain('cannot find my configuration');
});

test('children and folders go with a process that is killed with SIGKILL', async () => {
  // given a process that has started services
  const script = `
    const { startRedis, startMosquitto } = await import(${JSON.stringify(SERVICES)});
    const all = [await startRedis(), await startMosquitto()];
    console.log(JSON.stringify(all.map((s) => ({ pid: s.pid, folder: s.folder }))));
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: owner.stdout }), 'line');
  const started: { pid: number; folder: string }[] = JSON.parse(String(line));
  expect(started.every((s) => alive(s.pid) && existsSync(s.folder))).toBe(true);
  // when it is killed
  owner.kill('SIGKILL');
  // then nothing of it is left
  expect(await eventually(() => started.every((s) => !alive(s.pid)))).toBe(true);
  expect(await eventually(() => started.every((s) => !existsSync(s.folder)))).toBe(true);
});
