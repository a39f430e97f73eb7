import { setTimeout as sleep } from 'node:timers/promises';
import { DemoError } from './demo.options.ts';

const POLL_MS = 250;

/**
 * Reads a state again and again until it is done.
 *
 * @param wait.mark tells states apart: as long as it changes there is progress.
 * @throws DemoError `NoProgress` with `wait.describe` when it has not changed for `stallMs`.
 */
export async function until<T>(wait: {
  readonly what: string;
  readonly read: () => Promise<T>;
  readonly done: (state: T) => boolean;
  readonly mark: (state: T) => string;
  readonly show: (state: T) => void;
  readonly describe: (state: T) => string;
  readonly stallMs: number;
  readonly signal: AbortSignal;
}): Promise<T> {
  let mark = '';
  let changedAt = performance.now();
  for (;;) {
    const state = await wait.read();
    wait.show(state);
    if (wait.done(state)) return state;
    const now = wait.mark(state);
    if (now !== mark) changedAt = performance.now();
    mark = now;
    if (performance.now() - changedAt > wait.stallMs) {
      const seconds = Math.round(wait.stallMs / 1000);
      throw new DemoError(
        'NoProgress',
        `${wait.what}: nothing has changed for ${seconds} s; ${wait.describe(state)}`,
      );
    }
    await sleep(POLL_MS, undefined, { signal: wait.signal });
  }
}
