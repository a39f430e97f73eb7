import { type FleetClient, RequestRefused, unwrap } from '@entrofleet/client';
import type { Command } from 'commander';
import { CliError } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { kindOf } from './get.command.ts';
import { manifestsOf } from './manifest.file.ts';

interface DeleteOptions extends ServerOptions {
  readonly file?: readonly string[];
  readonly ignoreNotFound?: boolean;
}

interface Doomed {
  readonly kind: string;
  readonly name: string;
}

export function addDeleteCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('delete')
    .description('delete models, rollouts or devices; devices keep what they run')
    .argument('[kind]', 'models|rollouts|devices')
    .argument('[name...]', 'one or several')
    .option('-f, --file <path...>', 'what these files name instead; - reads stdin')
    .option('--ignore-not-found', 'it is fine when there is none');
  addServerOption(command).action(
    async (word: string | undefined, names: string[], options: DeleteOptions) => {
      const client = connect(options, context);
      for (const doomed of await doomedBy(word, names, options.file)) {
        const isGone = await remove(client, doomed, options.ignoreNotFound === true);
        const id = `${doomed.kind.toLowerCase()}/${doomed.name}`;
        context.print(`${id} ${isGone ? 'deleted' : 'not found'}\n`);
      }
    },
  );
}

async function doomedBy(
  word: string | undefined,
  names: readonly string[],
  files: readonly string[] = [],
): Promise<Doomed[]> {
  if ((word === undefined) === (files.length === 0)) {
    throw new CliError('Usage', 'name a kind and objects, or give files with -f');
  }
  if (word !== undefined) {
    const { kind, plural } = kindOf(word);
    if (names.length === 0) throw new CliError('Usage', `name the ${plural} to delete`);
    return names.map((name) => ({ kind, name }));
  }
  const found: Doomed[] = [];
  for (const path of files) found.push(...(await manifestsOf(path)));
  // Rollouts name models, so they go first.
  return found.toSorted((a, b) => Number(a.kind === 'Model') - Number(b.kind === 'Model'));
}

/** @returns false when there is none and that is fine. */
export async function remove(
  client: FleetClient,
  { kind, name }: Doomed,
  mayBeMissing: boolean,
): Promise<boolean> {
  const params = { path: { name } };
  try {
    if (kind === 'Model') await unwrap(client.api.DELETE('/api/v1/models/{name}', { params }));
    else if (kind === 'Rollout') {
      await unwrap(client.api.DELETE('/api/v1/rollouts/{name}', { params }));
    } else if (kind === 'Device') {
      await unwrap(client.api.DELETE('/api/v1/devices/{name}', { params }));
    } else
      throw new CliError('Usage', `a ${kind} cannot be deleted; delete the object it is about`);
    return true;
  } catch (error) {
    if (mayBeMissing && error instanceof RequestRefused && error.status === 404) return false;
    throw error;
  }
}
