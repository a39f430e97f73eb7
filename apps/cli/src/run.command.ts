import {
  createTokenizer,
  generate,
  type ModelConfig,
  parseModelConfig,
  type Tokenizer,
} from '@entrofleet/engine';
import type { Command } from 'commander';
import { CliError, messageOf } from './cli.error.ts';
import type { CommandContext } from './command.context.ts';
import { type OpenedModel, withLanguageModel } from './opened.model.ts';
import {
  addMemoryOptions,
  integerFrom,
  type MemoryOptions,
  numberFrom,
  threadsOption,
} from './options.ts';

const TOKENS_MAX = 10_000_000;

interface RunOptions extends MemoryOptions {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly threads: number;
}

export function addRunCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('run')
    .description('continue a prompt and print the text as it comes')
    .argument('<path>', 'artifact or Hugging Face folder')
    .requiredOption('-p, --prompt <text>', 'the text to continue')
    .option('--max-tokens <n>', 'tokens to generate at most', integerFrom(0, TOKENS_MAX), 128)
    .option('--temperature <t>', '0: always the likeliest token', numberFrom(0, 100), 0)
    .option('--top-p <p>', 'share of probability to draw from', numberFrom(1e-9, 1), 1)
    .option('--seed <n>', 'same seed, same text', integerFrom(0, 2 ** 32 - 1), 0)
    .addOption(threadsOption());
  addMemoryOptions(command)
    .addHelpText('after', '\nExample:\n  entrofleet run model.efa -p "Once upon a time"')
    .action((path: string, options: RunOptions) => run(path, options, context));
}

async function run(path: string, options: RunOptions, context: CommandContext): Promise<void> {
  const { signal, print, complain } = context;
  const { threads, prompt, maxTokens, temperature, topP, seed, memory, form } = options;
  const loading = {
    ...{ threads, signal, memory, form, complain },
    prepare: (opened: OpenedModel) => readTokenizer(opened, parseModelConfig(opened.config)),
  };
  await withLanguageModel(path, loading, async (model, _, tokenizer) => {
    const sampling = { maxTokens, temperature, topP, seed };
    print(prompt);
    for await (const piece of generate({ model, tokenizer, prompt, signal, ...sampling })) {
      print(piece.text);
    }
    print('\n');
  });
}

async function readTokenizer(opened: OpenedModel, config: ModelConfig): Promise<Tokenizer> {
  if (!opened.fileNames.includes('tokenizer.json')) {
    throw new CliError(
      'BadInput',
      `${opened.path} has no tokenizer.json, which text needs; save the fast tokenizer with it`,
    );
  }
  const tokenizerJson = await readJson(opened, 'tokenizer.json');
  const { bosTokenId, eosTokenIds } = config;
  const ids = { bosTokenId, eosTokenIds };
  if (!opened.fileNames.includes('tokenizer_config.json')) {
    return createTokenizer({ tokenizerJson, ...ids });
  }
  const tokenizerConfig = await readJson(opened, 'tokenizer_config.json');
  return createTokenizer({ tokenizerJson, tokenizerConfig, ...ids });
}

async function readJson(opened: OpenedModel, name: string): Promise<unknown> {
  const text = Buffer.from(await opened.readFile(name)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `${name} in ${opened.path} is no JSON (${messageOf(cause)}); save it again`;
    throw new CliError('BadInput', message, { cause });
  }
}
