import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Kube } from '../../deploy/private/kube.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { administrator, startKube } from '../support/kube.ts';

const REPLICA = join(import.meta.dirname, '../support/electing.process.ts');
const LEASE = 'entrofleet-controller';

let kube: Kube;
let folder: string;
const replicas: Replica[] = [];

beforeAll(async () => {
  kube = await startKube();
});
afterAll(() => kube?.stop());
beforeEach(async () => {
  folder = await temporaryFolder('acts');
});
afterEach(async () => {
  for (const replica of replicas.splice(0)) await replica.end();
  await administrator(kube).attempt(['delete', 'lease', LEASE, '--ignore-not-found']);
});

/** A process that acts while it leads, behind its own link to the API server. */
class Replica {
  readonly link: FaultyLink;
  readonly process: ChildProcess;
  readonly #actsPath: string;

  private constructor(of: { link: FaultyLink; process: ChildProcess; actsPath: string }) {
    this.link = of.link;
    this.process = of.process;
    this.#actsPath = of.actsPath;
    replicas.push(this);
  }

  static async start(identity: string, leaseMs: number): Promise<Replica> {
    const link = await faultyLink({ toPort: kube.port });
    const actsPath = join(folder, identity);
    await writeFile(actsPath, '');
    const kubeconfig = await kube.kubeconfig({ port: link.port });
    const args = [REPLICA, kubeconfig, identity, String(leaseMs), actsPath];
    const child = spawn(process.execPath, ['--conditions=entrofleet-source', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return new Replica({ link, process: child, actsPath });
  }

  /** Times of its acts, in milliseconds of the machine. */
  async acts(): Promise<number[]> {
    const lines = (await readFile(this.#actsPath, 'utf8')).split('\n');
    return lines.slice(0, -1).map(Number);
  }

  async acted(): Promise<boolean> {
    return (await this.acts()).length > 0;
  }

  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await once(this.process, 'exit');
    }
    await this.link.close();
  }
}

const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

async function untilActs(replica: Replica, timeoutMs: number): Promise<void> {
  await expect.poll(() => replica.acted(), { timeout: timeoutMs, interval: 20 }).toBe(true);
}

/** Who acted from when to when, in the order of time: two that act at once take turns in it. */
async function terms(): Promise<{ who: number; fromMs: number; toMs: number }[]> {
  const all = await Promise.all(
    replicas.map(async (replica, who) => (await replica.acts()).map((atMs) => ({ who, atMs }))),
  );
  const found: { who: number; fromMs: number; toMs: number }[] = [];
  for (const { who, atMs } of all.flat().toSorted((a, b) => a.atMs - b.atMs)) {
    const last = found.at(-1);
    if (last?.who === who) last.toMs = atMs;
    else found.push({ who, fromMs: atMs, toMs: atMs });
  }
  return found;
}

test('follows a leader that was killed within 20 s', async () => {
  const first = await Replica.start('first', 15_000);
  await untilActs(first, 30_000);
  const second = await Replica.start('second', 15_000);
  await sleep(6000);
  first.process.kill('SIGKILL');
  const killedMs = nowMs();
  await untilActs(second, 20_000);
  const [, next] = await terms();
  expect((next?.fromMs ?? Number.POSITIVE_INFINITY) - killedMs).toBeLessThan(20_000);
  expect((await terms()).map(({ who }) => who)).toEqual([0, 1]);
});

test('follows a leader that was stopped at once', async () => {
  const first = await Replica.start('first', 15_000);
  await untilActs(first, 30_000);
  const second = await Replica.start('second', 15_000);
  await sleep(4000);
  first.process.kill('SIGTERM');
  const stoppedMs = nowMs();
  await untilActs(second, 5000);
  const [, next] = await terms();
  expect((next?.fromMs ?? Number.POSITIVE_INFINITY) - stoppedMs).toBeLessThan(4000);
  expect((await terms()).map(({ who }) => who)).toEqual([0, 1]);
});

test('never has two that act when the leader is paused, again and again', async () => {
  const leaseMs = 5000;
  await Replica.start('first', leaseMs);
  await Replica.start('second', leaseMs);
  await expect.poll(async () => (await terms()).length, { timeout: 30_000 }).toBeGreaterThan(0);
  for (let round = 0; round < 4; round++) {
    const before = await terms();
    const leader = before.at(-1)?.who ?? 0;
    replicas[leader]?.process.kill('SIGSTOP');
    const follows = async () => (await terms()).at(-1)?.who === 1 - leader;
    await expect.poll(follows, { timeout: 15_000, interval: 20 }).toBe(true);
    replicas[leader]?.process.kill('SIGCONT');
    await sleep(2 * leaseMs);
    // Who was paused has not acted since: the other still leads.
    expect((await terms()).length).toBe(before.length + 1);
    expect((await terms()).at(-1)?.who).toBe(1 - leader);
  }
});

test('never has two that act when the leader is cut off, and one again in the end', async () => {
  const leaseMs = 5000;
  await Replica.start('first', leaseMs);
  await Replica.start('second', leaseMs);
  await expect.poll(async () => (await terms()).length, { timeout: 30_000 }).toBeGreaterThan(0);
  for (let round = 0; round < 3; round++) {
    const leader = (await terms()).at(-1)?.who ?? 0;
    const cutMs = nowMs();
    replicas[leader]?.link.set({ kind: 'Silent' });
    const follows = async () => (await terms()).at(-1)?.who === 1 - leader;
    await expect.poll(follows, { timeout: 15_000, interval: 20 }).toBe(true);
    const [old, next] = (await terms()).slice(-2);
    // The one that was cut off had stopped by itself, some time before the other began.
    expect((next?.fromMs ?? 0) - (old?.toMs ?? 0)).toBeGreaterThan(leaseMs / 10);
    expect(old?.toMs).toBeLessThan(cutMs + leaseMs);
    replicas[leader]?.link.set({ kind: 'Clear' });
    await sleep(leaseMs);
  }
  await kube.apiserver.restart();
  const known = (await terms()).at(-1)?.toMs ?? 0;
  await expect
    .poll(async () => ((await terms()).at(-1)?.toMs ?? 0) > known + leaseMs, { timeout: 40_000 })
    .toBe(true);
});
