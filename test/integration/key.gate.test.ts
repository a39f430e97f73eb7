import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import type { Gate } from '../../apps/controller/src/adapters/queue.ts';
import { RedisKeyQueue } from '../../apps/controller/src/adapters/redis.queue.ts';
import { type RedisService, startRedis } from '../support/services.ts';

const SOON = { timeout: 20_000, interval: 20 };
const BULLMQ = import.meta.resolve('bullmq');

/** A gate that a test opens and closes. */
class TestGate implements Gate {
  #isOpen = false;
  #listener: (isOpen: boolean) => void | Promise<void> = () => undefined;

  isOpen(): boolean {
    return this.#isOpen;
  }

  whenChanged(listener: (isOpen: boolean) => void | Promise<void>): void {
    this.#listener = listener;
  }

  /** Resolves when the keys that were taken before are done with. */
  async set(isOpen: boolean): Promise<void> {
    this.#isOpen = isOpen;
    await this.#listener(isOpen);
  }
}

describe('a gate of the queue', () => {
  let redis: RedisService;
  let prefix: string;
  let count = 0;
  const queues: RedisKeyQueue[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(() => {
    prefix = `gate${count++}`;
  });
  afterEach(async () => {
    await Promise.all(queues.splice(0).map((queue) => queue.close()));
  });

  /** One process of several that take keys from one queue, and what it has done. */
  function replica(work: (key: string) => Promise<void> = async () => undefined) {
    const queue = new RedisKeyQueue({ url: redis.url, prefix, log: new Log('error') });
    queues.push(queue);
    const gate = new TestGate();
    const taken: string[] = [];
    queue.consume(
      'work',
      async (key) => {
        taken.push(key);
        await work(key);
        return undefined;
      },
      { gate },
    );
    return { queue, gate, taken };
  }

  it('keeps keys away until it opens, for whoever opens first', async () => {
    const [a, b] = [replica(), replica()];
    a.queue.enqueue('work', 'one');
    b.queue.enqueue('work', 'two');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([a.taken, b.taken]).toEqual([[], []]);
    await b.gate.set(true);
    await expect.poll(() => b.taken.toSorted(), SOON).toEqual(['one', 'two']);
    await b.gate.set(false);
    await a.gate.set(true);
    a.queue.enqueue('work', 'three');
    await expect.poll(() => a.taken, SOON).toEqual(['three']);
    expect(b.taken).toHaveLength(2);
  });

  it('stays open or closed through many changes', async () => {
    const { queue, gate, taken } = replica();
    for (let round = 0; round < 10; round++) {
      void gate.set(true);
      void gate.set(false);
    }
    queue.enqueue('work', 'early');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken).toEqual([]);
    await gate.set(true);
    await expect.poll(() => taken, SOON).toEqual(['early']);
  });

  it('says when what was taken is done, and hands on what failed for its sake', async () => {
    const goOn = Promise.withResolvers<void>();
    const a = replica(() => goOn.promise);
    const b = replica();
    await a.gate.set(true);
    a.queue.enqueue('work', 'key');
    await expect.poll(() => a.taken, SOON).toEqual(['key']);
    let isDone = false;
    const closing = a.gate.set(false).then(() => {
      isDone = true;
    });
    await b.gate.set(true);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([isDone, b.taken]).toEqual([false, []]);
    goOn.reject(new Error('not the leader any more'));
    await closing;
    await expect.poll(() => b.taken, SOON).toEqual(['key']);
  });

  it('has the keys of a killed process when it opens', async () => {
    const { queue, gate, taken } = replica();
    const script =
      `const { Worker } = await import(${JSON.stringify(BULLMQ)});` +
      `const url = new URL(${JSON.stringify(redis.url)});` +
      `const take = () => { process.stdout.write('taken'); return new Promise(() => {}); };` +
      `new Worker('work', take, { prefix: '${prefix}', lockDuration: 10000,` +
      ` connection: { host: url.hostname, port: Number(url.port) } });`;
    const other = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    queue.enqueue('work', 'key');
    await once(other.stdout, 'data');
    other.kill('SIGKILL');
    // A leader that was killed is followed after 15 s; the key is to be there by then.
    await new Promise((resolve) => setTimeout(resolve, 16_000));
    expect(taken).toEqual([]);
    await gate.set(true);
    await expect.poll(() => taken, { timeout: 2000, interval: 20 }).toEqual(['key']);
  });
});
