#!/usr/bin/env node
import { native } from '@entrofleet/native';
import { helpText, readProcessConfig, readServiceEnvironment } from './config.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { failureOf } from './errors.ts';
import { createLog, type Log } from './log.ts';
import { ServiceNotices } from './service.notices.ts';
import { agentVersion } from './version.ts';

const EXIT_OF_REASON: Readonly<Record<string, number>> = {
  BadConfiguration: 2,
  DataFolderInUse: 3,
};
/** A second signal, or this long a wait after the requests', ends it without its goodbyes. */
const STOP_TIMEOUT_MS = 7000;

const argument = process.argv[2];
if (argument === '--version') {
  process.stdout.write(`${agentVersion()}\n`);
} else if (argument === '--help') {
  process.stdout.write(helpText(agentVersion()));
} else if (argument !== undefined) {
  process.stderr.write(`unknown argument ${argument}; see --help\n`);
  process.exitCode = 2;
} else {
  await run();
}

async function run(): Promise<void> {
  let log = createLog('info');
  try {
    const config = readProcessConfig();
    log = createLog(config.logLevel);
    process.title = 'entrofleet-agent';
    log.info(`entrofleet-agent ${agentVersion()} for ${config.device} in ${config.dataFolder}`);
    const daemon = await startDaemon({ config, log, agentVersion: agentVersion() });
    const notices = serviceNotices(daemon, log);
    notices?.start();
    const timeoutMs = config.httpDrainMs + STOP_TIMEOUT_MS;
    const stop = (): Promise<void> => {
      notices?.stop();
      return daemon.stop();
    };
    stopOnSignal({ log, timeoutMs, stop });
  } catch (error) {
    const { reason, message } = failureOf(error);
    log.error(`${reason}: ${message}`);
    process.exit(EXIT_OF_REASON[reason] ?? 1);
  }
}

/** @returns null when no service manager wants to hear of the agent. */
function serviceNotices(daemon: Daemon, log: Log): ServiceNotices | null {
  const environment = readServiceEnvironment();
  if (environment === null) return null;
  const { notifyService: send } = native;
  return new ServiceNotices({ environment, send, condition: () => daemon.condition(), log });
}

function stopOnSignal(use: { log: Log; timeoutMs: number; stop: () => Promise<void> }): void {
  const { log, timeoutMs, stop } = use;
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info(`${signal}: ending`);
    setTimeout(() => process.exit(1), timeoutMs).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error(`could not end in order: ${failureOf(error).message}`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
