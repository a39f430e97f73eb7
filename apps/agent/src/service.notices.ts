import type { Log } from './log.ts';
import type { ServiceEnvironment } from './service.environment.ts';

/** What the agent says of itself to the service manager. */
export interface ServiceCondition {
  /** A model serves, or there is none to serve. */
  readonly isReady: boolean;
  /** It does what it is there for, or could at any moment. */
  readonly isHealthy: boolean;
  readonly text: string;
}

/** Before it is ready, so that what starts after it does not wait needlessly. */
const STARTING_TICK_MS = 250;
const TICK_MS = 5000;
/** The manager hears three times before it runs out of patience. */
const TICKS_PER_WATCHDOG = 3;
/** Loading a large model from slow flash takes as long as it takes, while the event loop runs. */
const EXTENSION_MS = 60_000;

/**
 * Tells the service manager when the agent is ready, what it does, and that it lives. Signs of life
 * come from a timer of the event loop, so a loop that is blocked gives none.
 */
export class ServiceNotices {
  readonly #environment: ServiceEnvironment;
  readonly #send: (notice: { socketPath: string; message: string }) => void;
  readonly #condition: () => ServiceCondition;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #isReady = false;
  #text = '';
  #failure = '';

  constructor(options: {
    readonly environment: ServiceEnvironment;
    readonly send: (notice: { socketPath: string; message: string }) => void;
    readonly condition: () => ServiceCondition;
    readonly log: Log;
  }) {
    this.#environment = options.environment;
    this.#send = options.send;
    this.#condition = options.condition;
    this.#log = options.log;
  }

  start(): void {
    this.#tick();
  }

  /** Says that the agent ends on purpose. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#tell(['STOPPING=1', 'STATUS=ending']);
  }

  #tick(): void {
    const { isReady, isHealthy, text } = this.#condition();
    const words: string[] = [];
    if (isReady && !this.#isReady) words.push('READY=1');
    if (!isReady && !this.#isReady) words.push(`EXTEND_TIMEOUT_USEC=${EXTENSION_MS * 1000}`);
    if (isHealthy && this.#environment.watchdogMs !== null) words.push('WATCHDOG=1');
    // A line break would begin another assignment.
    const line = text.replaceAll(/\s+/g, ' ');
    if (line !== this.#text) words.push(`STATUS=${line}`);
    if (words.length > 0 && this.#tell(words)) {
      this.#isReady ||= isReady;
      this.#text = line;
    }
    this.#timer = setTimeout(() => this.#tick(), this.#pauseMs());
    this.#timer.unref();
  }

  #pauseMs(): number {
    if (!this.#isReady) return STARTING_TICK_MS;
    const { watchdogMs } = this.#environment;
    return Math.min(TICK_MS, (watchdogMs ?? Number.POSITIVE_INFINITY) / TICKS_PER_WATCHDOG);
  }

  /** One that is lost is made up for by the next; the first of a kind of failure is told. */
  #tell(words: readonly string[]): boolean {
    try {
      this.#send({ socketPath: this.#environment.socketPath, message: words.join('\n') });
      this.#failure = '';
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== this.#failure) this.#log.warn(`the service manager: ${message}`);
      this.#failure = message;
      return false;
    }
  }
}
