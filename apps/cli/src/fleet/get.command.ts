import { type FleetClient, RequestRefused } from '@entrofleet/client';
import type { Command } from 'commander';
import { CliError, messageOf } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import {
  findKind,
  type ListQuery,
  listAll,
  membersOf,
  RESOURCE_KINDS,
  type ResourceKind,
  type Shown,
} from './resource.kind.ts';
import { listText, type OutputForm, outputOption, ShownRows } from './shown.output.ts';

interface GetOptions extends ServerOptions {
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly output: OutputForm;
  readonly watch?: boolean;
}

interface Asked {
  readonly kind: ResourceKind;
  readonly names: readonly string[];
}

export const KIND_WORDS = [...RESOURCE_KINDS.map(({ plural }) => plural), 'members'].join('|');

export function addGetCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('get')
    .description('list objects of the fleet, or print those that are named')
    .argument('<kind>', KIND_WORDS)
    .argument('[name...]', 'only these; of members: the rollout')
    .option('-l, --selector <labels>', 'by labels, e.g. site=berlin,gpu in (orin,nano),!old')
    .option(
      '--field-selector <fields>',
      'by fields, e.g. status.online=true,status.phase!=Active,spec.pinned=true',
    )
    .addOption(outputOption())
    .option('-w, --watch', 'then print what happens, until interrupted');
  addServerOption(command).action(async (word: string, names: string[], options: GetOptions) => {
    const asked = askedFor(word, names);
    const query = queryOf(asked, options);
    const client = connect(options, context);
    if (options.watch === true) {
      await watchList(client, asked, { query, form: options.output, context });
      return;
    }
    const items = await read(client, asked, query);
    const isSingle = asked.names.length === 1 && items.length === 1;
    if (items.length === 0) context.complain(`no ${asked.kind.plural} found`);
    else {
      const form = options.output;
      context.print(listText(asked.kind, items, { form, isSingle, nowMs: Date.now() }));
    }
  });
}

function askedFor(word: string, names: readonly string[]): Asked {
  if (/^members?$/i.test(word)) {
    const [rollout, ...rest] = names;
    if (rollout !== undefined && rest.length === 0) return { kind: membersOf(rollout), names: [] };
    throw new CliError('Usage', 'name one rollout: entrofleet get members ROLLOUT');
  }
  return { kind: kindOf(word), names };
}

/** @throws CliError `Usage` that names the kinds there are. */
export function kindOf(word: string): ResourceKind {
  const kind = findKind(word);
  if (kind !== undefined) return kind;
  throw new CliError('Usage', `"${word}" is no kind of object; use ${KIND_WORDS}`);
}

function queryOf({ kind, names }: Asked, options: GetOptions): ListQuery {
  const { selector, fieldSelector } = options;
  const refused = [
    selector !== undefined && !kind.selectors.includes('labels') ? '--selector' : '',
    fieldSelector !== undefined && !kind.selectors.includes('fields') ? '--field-selector' : '',
    options.watch === true && kind.watch === undefined ? '--watch' : '',
    names.length > 0 && kind.read === undefined ? 'names' : '',
  ].filter((option) => option !== '');
  if (refused.length > 0) {
    throw new CliError('Usage', `${kind.plural} cannot be asked for with ${refused.join(', ')}`);
  }
  if (names.length > 0 && (selector ?? fieldSelector) !== undefined) {
    throw new CliError('Usage', 'give names or selectors, not both');
  }
  const named = options.watch === true && names.length > 0 ? nameQuery(names) : {};
  return {
    ...(selector === undefined ? {} : { labelSelector: selector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
    ...named,
  };
}

function nameQuery(names: readonly string[]): ListQuery {
  if (names.length === 1) return { fieldSelector: `metadata.name=${names[0]}` };
  throw new CliError('Usage', '--watch takes one name, or a selector');
}

async function read(client: FleetClient, { kind, names }: Asked, query: ListQuery) {
  if (names.length === 0) return (await listAll(kind, client, query)).items;
  const items: Shown[] = [];
  for (const name of names) {
    if (kind.read !== undefined) items.push(await kind.read(client, name));
  }
  return items;
}

/** Until it is interrupted. Lists anew when the controller no longer knows what happened since. */
async function watchList(
  client: FleetClient,
  { kind }: Asked,
  options: { query: ListQuery; form: OutputForm; context: CommandContext },
): Promise<void> {
  const { query, form, context } = options;
  const rows = new ShownRows(kind, form);
  const onReconnect = (error: Error): void => {
    context.complain(`${messageOf(error)}; trying again`);
  };
  context.print(rows.header());
  while (!context.signal.aborted && kind.watch !== undefined) {
    const { items, resourceVersion } = await listAll(kind, client, query);
    const present = kind.plural === 'events' ? items.toReversed() : items;
    for (const shown of present) context.print(rows.row('PRESENT', shown, Date.now()));
    const from = { ...query, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
    try {
      const request = { query: from, signal: context.signal, onReconnect };
      for await (const event of kind.watch(client, request)) {
        context.print(rows.row(event.type, event.shown, Date.now()));
      }
    } catch (error) {
      if (!(error instanceof RequestRefused) || error.status !== 410) throw error;
      context.complain('the controller no longer knows what happened meanwhile; listing again');
    }
  }
  context.signal.throwIfAborted();
}
