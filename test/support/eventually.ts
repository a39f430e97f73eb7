import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks until the answer is there.
 * @throws Error that names `what` when it has not come after `timeoutMs`.
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  options: { readonly timeoutMs?: number; readonly pollMs?: number } = {},
): Promise<T> {
  const { timeoutMs = 60_000, pollMs = 50 } = options;
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(pollMs);
  }
}
