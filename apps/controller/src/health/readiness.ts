import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../errors.ts';

export const readinessSchema = z.strictObject({
  ready: z.boolean(),
  checks: z.array(
    z.strictObject({
      name: z.string().describe('database, redis, broker'),
      ok: z.boolean(),
      message: z.string().describe('Why it is not ok, else empty'),
    }),
  ),
});
export type Readiness = z.infer<typeof readinessSchema>;

type Check = () => Promise<void>;
type CheckResult = Readiness['checks'][number];

/** Who asks gives up soon after: the chart's probes, and Prometheus. */
const CHECK_MS = 2000;

/** What must answer before this process can do its work; adapters register themselves. */
export class ReadinessChecks {
  readonly #checks = new Map<string, { check: Check; isNeeded: boolean }>();
  #stopping = false;

  /**
   * @param check rejects while the thing does not answer.
   * @param options.isNeeded whether the process is not ready without it. Default: true.
   */
  add(name: string, check: Check, options: { readonly isNeeded?: boolean } = {}): void {
    this.#checks.set(name, { check, isNeeded: options.isNeeded ?? true });
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** From now on the process is not ready, whatever answers. */
  stop(): void {
    this.#stopping = true;
  }

  /** What is needed. */
  async run(): Promise<Readiness> {
    const needed = [...this.#checks].filter(([, { isNeeded }]) => isNeeded);
    const checks = await Promise.all(needed.map(([name, { check }]) => resultOf(name, check)));
    if (this.#stopping) checks.push({ name: 'process', ok: false, message: 'it is stopping' });
    return { ready: checks.every((check) => check.ok), checks };
  }

  /** Everything, needed or not. */
  runAll(): Promise<CheckResult[]> {
    return Promise.all([...this.#checks].map(([name, { check }]) => resultOf(name, check)));
  }
}

async function resultOf(name: string, check: Check): Promise<CheckResult> {
  try {
    await Promise.race([check(), silence()]);
    return { name, ok: true, message: '' };
  } catch (error) {
    return { name, ok: false, message: messageOf(error) };
  }
}

async function silence(): Promise<never> {
  await sleep(CHECK_MS, undefined, { ref: false });
  throw new Error(`no answer within ${CHECK_MS / 1000} s`);
}
