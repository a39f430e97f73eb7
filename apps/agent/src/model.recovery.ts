import { recoveryDelayMs } from './lost.model.ts';
import type { HeldModel } from './serve/served.model.ts';
import type { Effect } from './update.states.ts';
import type { UpdateSteps } from './update.steps.ts';

/**
 * Loads a model again that was lost, after a pause that grows with the tries. What is damaged of
 * its artifact is fetched first where that hinders nothing else.
 * @throws why it cannot be loaded, or the signal's reason.
 */
export async function recoverModel<M extends HeldModel>(of: {
  readonly effect: Extract<Effect, { kind: 'Recover' }>;
  readonly steps: UpdateSteps<M>;
  readonly signal: AbortSignal;
  readonly firstWaitMs: number | undefined;
}): Promise<M> {
  const { effect, steps, signal } = of;
  const { target, keep } = effect;
  await pause(recoveryDelayMs(effect.tries, of.firstWaitMs), signal);
  if (effect.mends && (await steps.verify(target, { signal })) !== null) {
    // The figures of a download belong to the update, which this is not.
    const silent = { onProgress: () => undefined, onDelta: () => undefined };
    await steps.download(target, { signal, keep, loadAhead: false, ...silent });
  }
  signal.throwIfAborted();
  return steps.restore(target, { signal });
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delayMs);
  const end = () => resolve();
  signal.addEventListener('abort', end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
  signal.throwIfAborted();
}
