import { onTestFailed, onTestFinished } from 'vitest';
import type {
  AgentOptions,
  ControllerOptions,
  MosquittoOptions,
  PrivateService,
  RedisService,
} from '../../deploy/private/services.ts';
import * as services from '../../deploy/private/services.ts';

export type { PrivateService, RedisService };

/**
 * Private real services for tests. Started inside a test, a service is stopped when the test has
 * finished and its log is printed when the test has failed. Started in `beforeAll`, it is the
 * caller's to stop; whatever is forgotten dies with the test process.
 */
export const startRedis = (): Promise<RedisService> => kept(services.startRedis());
export const startMosquitto = (options?: MosquittoOptions): Promise<PrivateService> =>
  kept(services.startMosquitto(options));
export const startController = (options: ControllerOptions): Promise<PrivateService> =>
  kept(services.startController(options));
export const startAgent = (options: AgentOptions): Promise<PrivateService> =>
  kept(services.startAgent(options));

async function kept<T extends PrivateService>(starting: Promise<T>): Promise<T> {
  const service = await starting;
  try {
    onTestFailed(async () => {
      console.error(`--- end of the log of ${service.name} ---\n${await service.logTail()}`);
    });
    onTestFinished(() => service.stop());
  } catch {
    // Outside of a test there is no test to bind to: beforeAll and afterAll do it themselves.
  }
  return service;
}
