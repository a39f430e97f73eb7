import type { Command } from 'commander';
import { type CommandContext, jsonText } from './command.context.ts';
import {
  addMemoryOptions,
  integerFrom,
  jsonOption,
  type MemoryOptions,
  threadsOption,
} from './options.ts';
import { measurePerplexity } from './perplexity.measure.ts';

interface PerplexityOptions extends MemoryOptions {
  readonly tokens: string;
  readonly rows?: number;
  readonly threads: number;
  readonly json?: boolean;
}

export function addPerplexityCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('perplexity')
    .description('measure perplexity over rows of token ids')
    .argument('<path>', 'artifact or Hugging Face folder')
    .requiredOption('--tokens <file>', 'JSON rows of token ids: [[1, 2], ...]')
    .option('--rows <n>', 'use only the first rows', integerFrom(1, 1_000_000))
    .addOption(threadsOption())
    .addOption(jsonOption());
  addMemoryOptions(command)
    .addHelpText('after', '\nExample:\n  entrofleet perplexity model.efa --tokens eval-tokens.json')
    .action((path: string, options: PerplexityOptions) => measure(path, options, context));
}

async function measure(
  path: string,
  options: PerplexityOptions,
  { signal, print, complain }: CommandContext,
): Promise<void> {
  const { threads, tokens, rows, memory, form } = options;
  const loading = { threads, signal, memory, form, complain };
  const measured = await measurePerplexity(path, { tokens, rows, ...loading });
  const text =
    `perplexity ${measured.perplexity.toFixed(5)} ` +
    `(${measured.tokens} tokens of ${measured.rows} rows)\n`;
  print(options.json === true ? jsonText({ path, ...measured }) : text);
}
