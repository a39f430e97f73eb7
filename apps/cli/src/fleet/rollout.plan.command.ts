import { type DryRun, type FleetClient, type RolloutInput, unwrap } from '@entrofleet/client';
import type { Command } from 'commander';
import { CliError } from '../cli.error.ts';
import { type CommandContext, jsonText } from '../command.context.ts';
import { jsonOption } from '../options.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { manifestsOf } from './manifest.file.ts';
import { planText } from './rollout.plan.text.ts';

interface PlanOptions extends ServerOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export function addRolloutPlanCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('plan')
    .description('say what a rollout would do with each device; nothing is changed')
    .argument('[name]', 'a rollout as it is')
    .option('-f, --file <path>', 'a rollout that a file describes instead; - reads stdin')
    .addOption(jsonOption());
  addServerOption(command).action(async (name: string | undefined, options: PlanOptions) => {
    if ((name === undefined) === (options.file === undefined)) {
      throw new CliError('Usage', 'name a rollout, or give a file with -f');
    }
    const client = connect(options, context);
    const body = options.file === undefined ? undefined : await rolloutIn(options.file);
    const plan = await wholePlan((token) => pageOf(client, { name, body, token }));
    context.print(options.json === true ? jsonText(plan) : planText(plan));
  });
}

async function rolloutIn(path: string): Promise<RolloutInput> {
  const rollouts = (await manifestsOf(path)).filter(({ kind }) => kind === 'Rollout');
  const [first, ...rest] = rollouts;
  if (first !== undefined && rest.length === 0) return first.input as RolloutInput;
  throw new CliError('BadInput', `${path} holds ${rollouts.length} rollouts; plan takes one`);
}

function pageOf(
  client: FleetClient,
  of: { name: string | undefined; body: RolloutInput | undefined; token: string | undefined },
): Promise<DryRun> {
  const { name = '', body, token } = of;
  const query = token === undefined ? {} : { continue: token };
  if (body !== undefined) {
    return unwrap(client.api.POST('/api/v1/rollouts/plan', { params: { query }, body }));
  }
  const params = { path: { name }, query };
  return unwrap(client.api.POST('/api/v1/rollouts/{name}/plan', { params }));
}

async function wholePlan(page: (token: string | undefined) => Promise<DryRun>): Promise<DryRun> {
  const first = await page(undefined);
  const items = [...first.items];
  let token = first.metadata.continue;
  while (token !== undefined) {
    const next = await page(token);
    items.push(...next.items);
    token = next.metadata.continue;
  }
  return { ...first, items, metadata: {} };
}
