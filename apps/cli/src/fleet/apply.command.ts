import {
  type FleetClient,
  type ModelInput,
  RequestRefused,
  type RolloutInput,
  unwrap,
} from '@entrofleet/client';
import type { Command } from 'commander';
import type { CommandContext } from '../command.context.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { manifestsOf } from './manifest.file.ts';
import type { Manifest } from './manifest.ts';
import { refusedManifest } from './refusal.text.ts';

interface ApplyOptions extends ServerOptions {
  readonly file: readonly string[];
}

type Outcome = 'created' | 'configured' | 'unchanged';

export function addApplyCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('apply')
    .description('create models and rollouts, or change them to what files say')
    .requiredOption('-f, --file <path...>', 'YAML or JSON, one or several objects; - reads stdin')
    .addHelpText(
      'after',
      '\nPrints created, configured or unchanged for each object. The first that is refused ends it.',
    );
  addServerOption(command).action(async (options: ApplyOptions) => {
    const client = connect(options, context);
    for (const path of options.file) {
      for (const manifest of await manifestsOf(path)) {
        const outcome = await applied(client, manifest);
        context.print(`${manifest.kind.toLowerCase()}/${manifest.name} ${outcome}\n`);
      }
    }
  });
}

async function applied(client: FleetClient, manifest: Manifest): Promise<Outcome> {
  try {
    const before = await current(client, manifest);
    const { metadata, isCreated } = await put(client, manifest);
    if (before === undefined || isCreated) return 'created';
    const isSame =
      before.metadata.generation === metadata.generation &&
      labelsText(before.metadata.labels) === labelsText(metadata.labels);
    return isSame ? 'unchanged' : 'configured';
  } catch (error) {
    throw error instanceof RequestRefused ? refusedManifest(manifest, error) : error;
  }
}

/** The controller checks the body, field by field, and names what is wrong. */
async function put(client: FleetClient, { kind, name, input }: Manifest) {
  const params = { path: { name } };
  if (kind === 'Model') {
    const body = input as ModelInput;
    const answer = await client.api.PUT('/api/v1/models/{name}', { params, body });
    return { ...(await unwrap(answer)), isCreated: answer.response.status === 202 };
  }
  const body = input as RolloutInput;
  const answer = await client.api.PUT('/api/v1/rollouts/{name}', { params, body });
  return { ...(await unwrap(answer)), isCreated: answer.response.status === 202 };
}

async function current(client: FleetClient, { kind, name }: Manifest) {
  const params = { path: { name } };
  const answer =
    kind === 'Model'
      ? client.api.GET('/api/v1/models/{name}', { params })
      : client.api.GET('/api/v1/rollouts/{name}', { params });
  const { data } = await answer;
  return data;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).toSorted());
}
