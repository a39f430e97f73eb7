import {
  type Device,
  type FleetClient,
  type FleetEvent,
  type Member,
  type Model,
  type Rollout,
  unwrap,
} from '@entrofleet/client';
import type { Command } from 'commander';
import { CliError } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { describedDevice } from './device.describe.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { kindOf } from './get.command.ts';
import { describedArtifact, describedModel } from './model.describe.ts';
import { listAll, membersOf } from './resource.kind.ts';
import { describedRollout } from './rollout.describe.ts';

const EVENTS_SHOWN = 20;

export function addDescribeCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('describe')
    .description('tell all about an object: conditions, gates with numbers, members, recent events')
    .argument('<kind>', 'models|rollouts|devices|artifacts')
    .argument('<name...>', 'one or several');
  addServerOption(command).action(async (word: string, names: string[], options: ServerOptions) => {
    const client = connect(options, context);
    const { kind } = kindOf(word);
    for (const [index, name] of names.entries()) {
      context.print(`${index === 0 ? '' : '\n---\n'}${await described(client, { kind, name })}`);
    }
  });
}

async function described(
  client: FleetClient,
  { kind, name }: { kind: string; name: string },
): Promise<string> {
  const params = { path: { name } };
  const nowMs = Date.now();
  if (kind === 'Artifact') {
    const path = { id: name };
    const artifact = await unwrap(client.api.GET('/api/v1/artifacts/{id}', { params: { path } }));
    return describedArtifact(artifact, nowMs);
  }
  if (kind === 'Model') {
    const model: Model = await unwrap(client.api.GET('/api/v1/models/{name}', { params }));
    return describedModel(model, { events: await eventsOf(client, `Model/${name}`), nowMs });
  }
  if (kind === 'Device') {
    const device: Device = await unwrap(client.api.GET('/api/v1/devices/{name}', { params }));
    return describedDevice(device, { events: await eventsOf(client, `Device/${name}`), nowMs });
  }
  if (kind !== 'Rollout') {
    throw new CliError('Usage', `a ${kind} has no more to tell than "get" prints`);
  }
  const rollout: Rollout = await unwrap(client.api.GET('/api/v1/rollouts/{name}', { params }));
  const { items } = await listAll(membersOf(name), client, {});
  const members = items.map(({ object }) => object as Member);
  const events = await eventsOf(client, `Rollout/${name}`);
  return describedRollout(rollout, { members, events, nowMs });
}

async function eventsOf(client: FleetClient, involved: string): Promise<FleetEvent[]> {
  const query = { involved, limit: EVENTS_SHOWN };
  return (await unwrap(client.api.GET('/api/v1/events', { params: { query } }))).items;
}
