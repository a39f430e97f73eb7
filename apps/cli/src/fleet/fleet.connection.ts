import { FleetClient } from '@entrofleet/client';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CliError } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { serverFromEnvironment } from '../config.ts';

const HINT = 'use the address of a controller, e.g. http://127.0.0.1:8080';

export interface ServerOptions {
  readonly server: string;
}

export function addServerOption(command: Command): Command {
  return command.addOption(
    new Option('--server <url>', "address of the controller's REST API")
      .argParser(serverAddress)
      .default(serverFromEnvironment(), 'ENTROFLEET_SERVER, else http://127.0.0.1:8080'),
  );
}

/** A client whose requests end when the command is interrupted. */
export function connect({ server }: ServerOptions, context: CommandContext): FleetClient {
  // The environment's word is not parsed as an option.
  if (isAddress(server)) return new FleetClient({ server, signal: context.signal });
  throw new CliError('Usage', `ENTROFLEET_SERVER is "${server}"; ${HINT}`);
}

function serverAddress(text: string): string {
  if (isAddress(text)) return text;
  throw new InvalidArgumentError(HINT);
}

function isAddress(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:';
}
