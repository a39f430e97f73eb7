import type { Agent } from './agent.ts';
import { failureOf } from './errors.ts';
import type { Log } from './log.ts';
import type { ModelSlot } from './serve/model.slot.ts';
import type { HeldModel } from './serve/served.model.ts';
import type { ServingHealth } from './serving.health.ts';
import type { UpdateSteps } from './update.steps.ts';

export interface MeasurementTimerOptions<M extends HeldModel> {
  readonly agent: Agent<M>;
  readonly slot: ModelSlot<M>;
  readonly steps: Pick<UpdateSteps<M>, 'test'>;
  readonly log: Log;
  /** Told when a model does not compute what it should. */
  readonly health?: Pick<ServingHealth, 'failed'>;
  readonly intervalMs: number;
}

/**
 * Measures the serving model again from time to time, while the device has nothing else to do:
 * a request or an update would spoil the figures, and the figures would slow them down.
 */
export class MeasurementTimer<M extends HeldModel> {
  readonly #options: MeasurementTimerOptions<M>;
  readonly #timer: NodeJS.Timeout;
  readonly #stopping = new AbortController();
  #measuring: Promise<void> = Promise.resolve();

  constructor(options: MeasurementTimerOptions<M>) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#measuring = this.#measuring.then(() => this.measure());
    }, options.intervalMs);
    this.#timer.unref();
  }

  /** Measures now, unless the device is busy. */
  async measure(): Promise<void> {
    const { agent, slot, steps, log, health } = this.#options;
    if (this.#stopping.signal.aborted || agent.working || slot.leases > 0) return;
    const lease = slot.acquire();
    if (lease === null) return;
    try {
      const { signal } = this.#stopping;
      const result = await steps.test(lease.model, { signal, kind: 'Periodic' });
      if (!signal.aborted && slot.current === lease.model) agent.measured(result);
    } catch (error) {
      const { reason, message } = failureOf(error);
      if (this.#stopping.signal.aborted) return;
      log.warn(`measurement failed: ${reason}: ${message}`);
      health?.failed(lease.model, error);
    } finally {
      lease.release();
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort(new Error('the agent ends'));
    await this.#measuring;
  }
}
