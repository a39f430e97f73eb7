import {
  type FleetClient,
  type FleetEvent,
  RequestRefused,
  unwrap,
  watch,
} from '@entrofleet/client';
import type { Command } from 'commander';
import type { CommandContext } from '../command.context.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';

interface LogsOptions extends ServerOptions {
  readonly follow?: boolean;
  readonly since?: string;
}

export function addRolloutLogsCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('logs')
    .description('tell what has happened to a rollout, oldest first')
    .argument('<name>', 'rollout')
    .option('-f, --follow', 'then go on until interrupted')
    .option('--since <time>', 'only from this time on, e.g. 2026-11-21T08:00:00Z');
  addServerOption(command).action(async (name: string, options: LogsOptions) => {
    const client = connect(options, context);
    const path = { name };
    await unwrap(client.api.GET('/api/v1/rollouts/{name}', { params: { path } }));
    const { since } = options;
    const query = { involved: `Rollout/${name}`, ...(since === undefined ? {} : { since }) };
    const print = (event: FleetEvent): void => context.print(eventText(event));
    if (options.follow === true) {
      await follow(client, { query, print, signal: context.signal });
      return;
    }
    const { items } = await unwrap(client.api.GET('/api/v1/events', { params: { query } }));
    for (const event of items.toReversed()) print(event);
  });
}

/** A watch begins with what is there, so nothing is missed between the two. */
async function follow(
  client: FleetClient,
  of: {
    query: { involved: string; since?: string };
    print: (event: FleetEvent) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  let printed = 0;
  while (!of.signal.aborted) {
    try {
      for await (const event of watch(client, '/api/v1/events', of)) {
        if (event.type === 'BOOKMARK' || event.object.id <= printed) continue;
        printed = event.object.id;
        of.print(event.object);
      }
    } catch (error) {
      if (!(error instanceof RequestRefused) || error.status !== 410) throw error;
    }
  }
  of.signal.throwIfAborted();
}

export function eventText({ at, type, reason, message }: FleetEvent): string {
  return `${at}  ${type.padEnd(7)}  ${reason}: ${message}\n`;
}
