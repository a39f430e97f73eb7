import { type FleetClient, type Rollout, unwrap, watch } from '@entrofleet/client';
import { type Command, Option } from 'commander';
import { EXIT } from '../cli.error.ts';
import type { CommandContext } from '../command.context.ts';
import { numberFrom } from '../options.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { outcomeOf, progressText, waitText } from './rollout.outcome.ts';

interface StatusOptions extends ServerOptions {
  readonly watch?: boolean;
  readonly timeout?: number;
}

const WEEK_SECONDS = 7 * 24 * 3600;

export function addRolloutStatusCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('status')
    .description('say how a rollout goes')
    .argument('<name>', 'rollout')
    .option('-w, --watch', 'until it is complete, or has stopped')
    .addOption(
      new Option('--timeout <seconds>', 'with --watch: give up after so long').argParser(
        numberFrom(0, WEEK_SECONDS),
      ),
    )
    .addHelpText(
      'after',
      '\nExit status: 0 complete; 1 paused, refused, aborted or rolled back, the reason is printed;\n' +
        '3 not there yet (without --watch, or after --timeout).',
    );
  addServerOption(command).action(async (name: string, options: StatusOptions) => {
    const client = connect(options, context);
    const line = new StatusLine(context);
    const last = await followed(client, name, { options, line, signal: context.signal });
    line.end();
    context.exitWith(report(last, { context, isTold: line.isTold }));
  });
}

/** @returns the rollout when it needs no more watching. */
async function followed(
  client: FleetClient,
  name: string,
  of: { options: StatusOptions; line: StatusLine; signal: AbortSignal },
): Promise<Rollout> {
  const { options, line } = of;
  // A name that does not exist is refused here; a watch would wait for it.
  let last = await unwrap(
    client.api.GET('/api/v1/rollouts/{name}', { params: { path: { name } } }),
  );
  line.show(last);
  if (options.watch !== true || outcomeOf(last).kind !== 'Going') return last;
  const { timeout } = options;
  const signal =
    timeout === undefined
      ? of.signal
      : AbortSignal.any([of.signal, AbortSignal.timeout(timeout * 1000)]);
  const query = { fieldSelector: `metadata.name=${name}` };
  for await (const event of watch(client, '/api/v1/rollouts', { query, signal })) {
    if (event.type === 'BOOKMARK') continue;
    if (event.type === 'DELETED') throw new Error(`rollout "${name}" was deleted`);
    last = event.object;
    line.show(last);
    if (outcomeOf(last).kind !== 'Going') break;
  }
  of.signal.throwIfAborted();
  return last;
}

function report(rollout: Rollout, to: { context: CommandContext; isTold: boolean }): number {
  const outcome = outcomeOf(rollout);
  if (!to.isTold) to.context.print(`${progressText(rollout)}\n`);
  if (outcome.kind === 'Complete') return EXIT.ok;
  if (outcome.kind === 'Going') {
    const why = waitText(rollout);
    if (why !== undefined) to.context.complain(`rollout "${rollout.metadata.name}": ${why}`);
    return EXIT.notYet;
  }
  to.context.complain(`rollout "${rollout.metadata.name}": ${outcome.reason}`);
  to.context.complain(outcome.hint);
  return EXIT.failed;
}

/** On a terminal one line that is drawn again, else a line for each change. */
class StatusLine {
  readonly #context: CommandContext;
  #last = '';

  constructor(context: CommandContext) {
    this.#context = context;
  }

  get isTold(): boolean {
    return !process.stdout.isTTY;
  }

  show(rollout: Rollout): void {
    const text = progressText(rollout);
    if (text === this.#last) return;
    this.#last = text;
    this.#context.print(this.isTold ? `${text}\n` : `\r${text}\u001b[K`);
  }

  end(): void {
    if (!this.isTold) this.#context.print('\r\u001b[K');
  }
}
