import { perplexity } from '@entrofleet/engine';
import type { Command } from 'commander';
import { CliError } from './cli.error.ts';
import { type CommandContext, jsonText } from './command.context.ts';
import { withLanguageModel } from './opened.model.ts';
import { integerFrom, jsonOption, threadsOption } from './options.ts';
import { readTokenRows } from './token.file.ts';

interface PerplexityOptions {
  readonly tokens: string;
  readonly rows?: number;
  readonly threads: number;
  readonly json?: boolean;
}

export function addPerplexityCommand(program: Command, context: CommandContext): void {
  program
    .command('perplexity')
    .description('measure perplexity over rows of token ids')
    .argument('<path>', 'artifact or Hugging Face folder')
    .requiredOption('--tokens <file>', 'JSON rows of token ids: [[1, 2], ...]')
    .option('--rows <n>', 'use only the first rows', integerFrom(1, 1_000_000))
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  entrofleet perplexity model.efa --tokens eval-tokens.json')
    .action((path: string, options: PerplexityOptions) => measure(path, options, context));
}

async function measure(
  path: string,
  options: PerplexityOptions,
  { signal, print }: CommandContext,
): Promise<void> {
  const { threads, tokens } = options;
  await withLanguageModel(path, { threads, signal }, async (model) => {
    const read = await readTokenRows(tokens, model.config);
    const rows = read.rows.slice(0, options.rows);
    const { contextLength } = model.config;
    const bad = rows.findIndex((row) => row.length < 2 || row.length > contextLength);
    if (bad >= 0) {
      throw new CliError(
        'BadInput',
        `row ${bad} of ${tokens} has ${rows[bad]?.length} tokens; the model takes rows of 2 to ` +
          `${contextLength}`,
      );
    }
    const measured = await perplexity(model, rows, { signal });
    const text =
      `perplexity ${measured.perplexity.toFixed(5)} ` +
      `(${measured.tokens} tokens of ${measured.rows} rows)\n`;
    print(options.json === true ? jsonText({ path, ...measured }) : text);
  });
}
