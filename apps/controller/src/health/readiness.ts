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

/** What must answer before this process can do its work; adapters register themselves. */
export class ReadinessChecks {
  readonly #checks = new Map<string, Check>();

  /** @param check rejects while the thing does not answer; it must not take long. */
  add(name: string, check: Check): void {
    this.#checks.set(name, check);
  }

  async run(): Promise<Readiness> {
    const checks = await Promise.all(
      [...this.#checks].map(async ([name, check]) => {
        try {
          await check();
          return { name, ok: true, message: '' };
        } catch (error) {
          return { name, ok: false, message: messageOf(error) };
        }
      }),
    );
    return { ready: checks.every((check) => check.ok), checks };
  }
}
