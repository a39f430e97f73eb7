#!/usr/bin/env node
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Log } from './adapters/log.ts';
import { NestLogger } from './adapters/nest.logger.ts';
import { type Config, ConfigError, helpText, readConfig } from './config.ts';
import { messageOf, reasonOf, StartupError } from './errors.ts';

const EXIT = { ok: 0, failure: 1, usage: 64, unavailable: 69, config: 78 } as const;

async function main(): Promise<void> {
  const [option] = process.argv.slice(2);
  if (option === '--help' || option === '-h') {
    process.stdout.write(helpText());
    return;
  }
  if (option !== undefined) end(EXIT.usage, `unknown argument "${option}"; see --help`);
  process.title = 'entrofleet-controller';
  const config = readConfig();
  const log = new Log(config.logLevel);
  process.on('unhandledRejection', (error) => {
    log.error('unhandled rejection', { error: messageOf(error) });
    end(EXIT.failure, error instanceof Error ? (error.stack ?? error.message) : String(error));
  });
  const app = await start(config, log);
  stopOnSignal({ app, config, log });
}

async function start(config: Config, log: Log): Promise<NestExpressApplication> {
  // Imported late, so that an addon that cannot be loaded is reported like any other failure.
  const { appModule } = await import('./app.module.ts');
  const { setUpHttp } = await import('./http/http.setup.ts');
  const { Database } = await import('./adapters/db.ts');
  const app = await NestFactory.create<NestExpressApplication>(appModule(config), {
    bodyParser: false,
    abortOnError: false,
    logger: new NestLogger(log),
  });
  setUpHttp(app, config);
  // The database may come up long after this process, and only then is its schema seen.
  app
    .get(Database)
    .whenReady()
    .catch((error: unknown) => {
      if (error instanceof StartupError) end(exitCode(error), messageOf(error));
    });
  try {
    await app.listen(config.port, config.host);
  } catch (cause) {
    await app.close();
    const where = `${config.host}:${config.port}`;
    throw new StartupError('CannotListen', `cannot listen on ${where}: ${messageOf(cause)}`);
  }
  log.info('listening', { url: await app.getUrl(), roles: [...config.roles].join(',') });
  return app;
}

/** The first signal stops in order, the second one at once. */
function stopOnSignal(run: { app: NestExpressApplication; config: Config; log: Log }): void {
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(EXIT.failure);
    stopping = true;
    run.log.info('stopping', { signal });
    setTimeout(() => {
      end(EXIT.failure, 'not stopped in time (SHUTDOWN_TIMEOUT_SECONDS); ended');
    }, run.config.shutdownTimeoutMs).unref();
    await stopInOrder(run);
    run.log.info('stopped');
    process.exit(EXIT.ok);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
}

/**
 * Work goes to other processes at once. The REST API serves on for a while: whoever balances load
 * asks for readiness from time to time only.
 */
async function stopInOrder(run: { app: NestExpressApplication; config: Config }): Promise<void> {
  const { app, config } = run;
  const { KeyQueue } = await import('./adapters/queue.ts');
  const { ReadinessChecks } = await import('./health/readiness.ts');
  const { Leadership } = await import('./kube/leadership.ts');
  app.get(ReadinessChecks).stop();
  const delayMs = config.roles.has('api') ? config.shutdownDelayMs : 0;
  await Promise.all([app.get(KeyQueue).release(), app.get(Leadership).resign(), sleep(delayMs)]);
  await app.close();
}

function end(code: number, message: string): never {
  process.stderr.write(`entrofleet-controller: ${message}\n`);
  process.exit(code);
}

function exitCode(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.config;
  const unavailable = error instanceof StartupError || reasonOf(error) === 'NativeUnavailable';
  return unavailable ? EXIT.unavailable : EXIT.failure;
}

main().catch((error: unknown) => {
  const code = exitCode(error);
  const text = code === EXIT.failure && error instanceof Error ? error.stack : undefined;
  end(code, text ?? messageOf(error));
});
