import type { LoggerService } from '@nestjs/common';
import type { Log } from './log.ts';

/** Lets NestJS write through our log; its chatter about modules and routes is debug. */
export class NestLogger implements LoggerService {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  log(message: unknown): void {
    this.#log.debug(String(message));
  }

  warn(message: unknown): void {
    this.#log.warn(String(message));
  }

  error(message: unknown): void {
    this.#log.error(String(message));
  }
}
