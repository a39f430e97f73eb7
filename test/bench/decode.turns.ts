import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LLAMA_BIN, type Variant } from './engine.variants.ts';

const WORKER = resolve(import.meta.dirname, 'turn.worker.ts');
const TURN_TOKENS = 12;
/** Threads that still spin for work after a turn go to sleep meanwhile. */
const REST_MS = 20;

type Pair<T> = readonly [own: T, other: T];

/**
 * Decode speeds of two variants that take turns of some tokens while both are loaded: the bandwidth
 * of a virtual machine drifts within seconds, and so both meet the same.
 * @returns tokens per second of each, turn by turn.
 */
export async function measureTurns(
  variants: Pair<Variant>,
  use: { turns: number; threads: number },
): Promise<Pair<number>[]> {
  const holders = variants.map((variant) => new Holder(variant, use.threads));
  const [own, other] = holders;
  if (own === undefined || other === undefined) throw new Error('turns are taken by two');
  try {
    for (const holder of holders) await holder.ready();
    const speeds: Pair<number>[] = [];
    for (let turn = 0; turn < use.turns; turn++) {
      // Whoever is first in a turn is second in the next.
      const isOwnFirst = turn % 2 === 0;
      const first = await (isOwnFirst ? own : other).decode();
      const second = await (isOwnFirst ? other : own).decode();
      speeds.push(isOwnFirst ? [first, second] : [second, first]);
    }
    return speeds;
  } finally {
    for (const holder of holders) holder.end();
  }
}

/** A process that holds a loaded model. */
class Holder {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;

  constructor(variant: Variant, threads: number) {
    const [program = '', ...words] = commandOf(variant, threads);
    this.#name = variant.name;
    this.#child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async ready(): Promise<void> {
    const line = await this.#line();
    if (line !== 'ready') throw new Error(`${this.#name} said "${line}" instead of "ready"`);
  }

  /** @returns tokens per second. */
  async decode(): Promise<number> {
    await sleep(REST_MS);
    this.#child.stdin.write(`${TURN_TOKENS}\n`);
    const speed = 1000 / Number(await this.#line());
    if (Number.isFinite(speed)) return speed;
    throw new Error(`${this.#name} told no time`);
  }

  end(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`${this.#name} has ended`);
    return value;
  }
}

function commandOf({ engine, path, form }: Variant, threads: number): string[] {
  if (engine === 'entrofleet') {
    return [process.execPath, WORKER, path, String(threads), form ?? 'auto'];
  }
  return [`${LLAMA_BIN}/llama-peer`, 'turns', path, String(threads)];
}
