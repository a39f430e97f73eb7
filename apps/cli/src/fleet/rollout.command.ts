import { unwrap } from '@entrofleet/client';
import { type Command, Option } from 'commander';
import type { CommandContext } from '../command.context.ts';
import { integerFrom } from '../options.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { addRolloutHistoryCommand } from './rollout.history.command.ts';
import { addRolloutLogsCommand } from './rollout.logs.command.ts';
import { progressText } from './rollout.outcome.ts';
import { addRolloutPlanCommand } from './rollout.plan.command.ts';
import { addRolloutStatusCommand } from './rollout.status.command.ts';

const PATH = '/api/v1/rollouts/{name}';

interface Action {
  readonly word: string;
  readonly path: `${typeof PATH}/${'pause' | 'resume' | 'retry' | 'abort'}`;
  readonly description: string;
  /** What has happened then. */
  readonly done: string;
}

const ACTIONS: readonly Action[] = [
  {
    word: 'pause',
    path: `${PATH}/pause`,
    description: 'start no more devices; those that are started go on',
    done: 'paused',
  },
  {
    word: 'resume',
    path: `${PATH}/resume`,
    description: 'go on; those that have failed stay behind',
    done: 'resumed',
  },
  {
    word: 'retry',
    path: `${PATH}/retry`,
    description: 'start those that have failed again, and go on',
    done: 'started again',
  },
  {
    word: 'abort',
    path: `${PATH}/abort`,
    description: 'give it up: what has not started never does, what is fetching stops',
    done: 'aborted',
  },
];

const REVISION_MAX = 2 ** 31 - 1;

export function addRolloutCommand(program: Command, context: CommandContext): void {
  const rollout = program.command('rollout').description('follow and steer rollouts');
  addRolloutStatusCommand(rollout, context);
  for (const { word, path, description, done } of ACTIONS) {
    const command = rollout.command(word).description(description).argument('<name>', 'rollout');
    addServerOption(command).action(async (name: string, options: ServerOptions) => {
      const { api } = connect(options, context);
      await unwrap(api.POST(path, { params: { path: { name } } }));
      context.print(`rollout/${name} ${done}\n`);
    });
  }
  addApproveCommand(rollout, context);
  addUndoCommand(rollout, context);
  addRolloutHistoryCommand(rollout, context);
  addRolloutPlanCommand(rollout, context);
  addRolloutLogsCommand(rollout, context);
}

function addApproveCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('approve')
    .description('let the next wave open, where the strategy asks for approval')
    .argument('<name>', 'rollout')
    .addOption(
      new Option('--wave <n>', 'only if this is the wave that waits').argParser(
        integerFrom(1, REVISION_MAX),
      ),
    );
  addServerOption(command).action(
    async (name: string, options: ServerOptions & { wave?: number }) => {
      const { wave } = options;
      const body = wave === undefined ? {} : { wave };
      const { api } = connect(options, context);
      const params = { path: { name } };
      await unwrap(api.POST(`${PATH}/approve`, { params, body }));
      context.print(`rollout/${name} approved\n`);
    },
  );
}

function addUndoCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('undo')
    .description('go back to what was asked for before, as a new revision')
    .argument('<name>', 'rollout')
    .addOption(
      new Option(
        '--to-revision <n>',
        'to this one of "rollout history"; default: the one before',
      ).argParser(integerFrom(1, REVISION_MAX)),
    );
  addServerOption(command).action(
    async (name: string, options: ServerOptions & { toRevision?: number }) => {
      const { toRevision: revision } = options;
      const body = revision === undefined ? {} : { revision };
      const { api } = connect(options, context);
      const params = { path: { name } };
      const after = await unwrap(api.POST(`${PATH}/rollback`, { params, body }));
      context.print(`rollout/${name} goes back (${progressText(after)})\n`);
    },
  );
}
