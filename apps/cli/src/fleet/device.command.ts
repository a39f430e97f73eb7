import { type Device, type FleetClient, RequestRefused, unwrap } from '@entrofleet/client';
import type { Command } from 'commander';
import { CliError } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { remove } from './delete.command.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { changedLabels, type LabelChange, readLabelChange } from './label.change.ts';
import { labelsText } from './text.table.ts';

/** A report may come between reading a device and writing its labels; so many hardly do. */
const WRITE_TRIES = 20;

interface Holding {
  readonly word: string;
  readonly description: string;
  readonly patch: { readonly pinned?: boolean; readonly quarantined?: boolean };
  /** What has happened then. */
  readonly done: string;
}

const HOLDINGS: readonly Holding[] = [
  {
    word: 'pin',
    description: 'keep what it runs: no rollout changes it',
    patch: { pinned: true },
    done: 'pinned',
  },
  {
    word: 'unpin',
    description: 'leave it to rollouts again',
    patch: { pinned: false },
    done: 'unpinned',
  },
  {
    word: 'quarantine',
    description: 'as pin, and it counts for no wave and no gate; for one that is not well',
    patch: { quarantined: true },
    done: 'quarantined',
  },
  {
    word: 'release',
    description: 'end its quarantine',
    patch: { quarantined: false },
    done: 'released',
  },
];

export function addDeviceCommand(program: Command, context: CommandContext): void {
  const device = program.command('device').description('label, hold and forget devices');
  addLabelCommand(device, context);
  for (const { word, description, patch: body, done } of HOLDINGS) {
    const command = device.command(word).description(description).argument('<name...>', 'devices');
    addServerOption(command).action(async (names: string[], options: ServerOptions) => {
      const client = connect(options, context);
      for (const name of names) {
        const params = { path: { name } };
        await unwrap(client.api.PATCH('/api/v1/devices/{name}', { params, body }));
        context.print(`device/${name} ${done}\n`);
      }
    });
  }
  const forget = device
    .command('delete')
    .description('forget devices; one that still runs registers again')
    .argument('<name...>', 'devices');
  addServerOption(forget).action(async (names: string[], options: ServerOptions) => {
    const client = connect(options, context);
    for (const name of names) {
      await remove(client, { kind: 'Device', name }, false);
      context.print(`device/${name} deleted\n`);
    }
  });
}

function addLabelCommand(device: Command, context: CommandContext): void {
  const command = device
    .command('label')
    .description("set or remove the operator's labels, which win over the device's own")
    .argument('<name>', 'device')
    .argument('<change...>', 'key=value sets a label, key- removes it');
  addServerOption(command).action(async (name: string, texts: string[], options: ServerOptions) => {
    const changes = texts.map(readLabelChange);
    const after = await relabelled(connect(options, context), name, changes);
    context.print(`device/${name} labelled: ${labelsText(after.metadata.labels)}\n`);
  });
}

async function relabelled(
  client: FleetClient,
  name: string,
  changes: readonly LabelChange[],
): Promise<Device> {
  const params = { path: { name } };
  for (let tries = 1; ; tries++) {
    const { metadata, spec } = await unwrap(client.api.GET('/api/v1/devices/{name}', { params }));
    for (const { key, value } of changes) {
      if (value !== undefined || Object.hasOwn(spec.labels, key)) continue;
      throw new CliError(
        'BadInput',
        Object.hasOwn(metadata.labels, key)
          ? `label "${key}" is the device's own; set another value, or change it on the device`
          : `device "${name}" has no label "${key}"`,
      );
    }
    const body = {
      resourceVersion: metadata.resourceVersion,
      labels: changedLabels(spec.labels, changes),
    };
    try {
      return await unwrap(client.api.PATCH('/api/v1/devices/{name}', { params, body }));
    } catch (error) {
      const isStale = error instanceof RequestRefused && error.status === 409;
      if (!isStale || tries >= WRITE_TRIES) throw error;
    }
  }
}
