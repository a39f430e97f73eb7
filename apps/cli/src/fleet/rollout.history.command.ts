import { type Revision, unwrap } from '@entrofleet/client';
import type { Command } from 'commander';
import { type CommandContext, jsonText } from '../command.context.ts';
import { jsonOption } from '../options.ts';
import { addServerOption, connect, type ServerOptions } from './fleet.connection.ts';
import { ageText, textTable } from './text.table.ts';

const TITLES = ['REVISION', 'MODEL', 'VARIANT', 'ARTIFACTS', 'OUTCOME', 'AGE'];

export function addRolloutHistoryCommand(rollout: Command, context: CommandContext): void {
  const command = rollout
    .command('history')
    .description('list what a rollout was asked for, and what became of it')
    .argument('<name>', 'rollout')
    .addOption(jsonOption());
  addServerOption(command).action(
    async (name: string, options: ServerOptions & { json?: boolean }) => {
      const { api } = connect(options, context);
      const params = { path: { name } };
      const { items } = await unwrap(api.GET('/api/v1/rollouts/{name}/revisions', { params }));
      context.print(options.json === true ? jsonText(items) : historyText(items, Date.now()));
    },
  );
}

function historyText(revisions: readonly Revision[], nowMs: number): string {
  const rows = revisions
    .toSorted((a, b) => a.revision - b.revision)
    .map(({ revision, spec, artifactIds, outcome, createdAt }) => [
      String(revision),
      spec.model,
      spec.variant ?? 'best',
      artifactIds.map((id) => id.slice(0, 12)).join(',') || '-',
      outcome,
      ageText(createdAt, nowMs),
    ]);
  return textTable([TITLES, ...rows]);
}
