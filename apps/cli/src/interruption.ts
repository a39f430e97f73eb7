import { EXIT } from './cli.error.ts';

/**
 * A signal that Ctrl-C or SIGTERM aborts, so that the work under way removes what it has begun. A
 * second Ctrl-C ends the process at once.
 */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return controller.signal;
}
