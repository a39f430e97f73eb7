import {
  generate,
  type ModelText,
  parseModelConfig,
  readModelText,
  type SamplingOptions,
} from '@entrofleet/engine';
import { type Command, InvalidArgumentError } from 'commander';
import { CliError } from './cli.error.ts';
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

interface RunOptions extends SamplingOptions, MemoryOptions {
  readonly prompt: string;
  readonly chat?: true;
  readonly system?: string;
  readonly maxTokens: number;
  readonly seed: number;
  readonly stop?: readonly string[];
  readonly threads: number;
}

export function addRunCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('run')
    .description('continue a prompt and print the text as it comes')
    .argument('<path>', 'artifact or Hugging Face folder')
    .requiredOption('-p, --prompt <text>', 'the text to continue')
    .option('--chat', "the prompt is a user's message; print the answer only")
    .option('--system <text>', 'with --chat: what the model is told beforehand')
    .option('--max-tokens <n>', 'tokens to generate at most', integerFrom(0, TOKENS_MAX), 128);
  addSamplingOptions(command).addOption(threadsOption());
  addMemoryOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  entrofleet run model.efa -p "Once upon a time"\n' +
        '  entrofleet run model.efa --chat -p "Why is the sky blue?" --temperature 0.7 --top-p 0.9',
    )
    .action((path: string, options: RunOptions) => run(path, options, context));
}

function addSamplingOptions(command: Command): Command {
  return command
    .option('--temperature <t>', '0: always the likeliest token', numberFrom(0, 100), 0)
    .option('--top-k <n>', 'only so many likeliest tokens; 0: all', integerFrom(0, 2 ** 31), 0)
    .option('--top-p <p>', 'share of probability to draw from', numberFrom(1e-9, 1), 1)
    .option('--min-p <p>', 'least probability, as a share of the largest', numberFrom(0, 1), 0)
    .option('--repetition-penalty <x>', 'above 1: less repetition', numberFrom(1e-9, 100), 1)
    .option('--frequency-penalty <x>', 'for each time a token was used', numberFrom(-100, 100), 0)
    .option('--presence-penalty <x>', 'for tokens used at all', numberFrom(-100, 100), 0)
    .option('--logit-bias <id=bias...>', 'added to the logits of tokens', addBias)
    .option('--seed <n>', 'same seed, same text', integerFrom(0, 2 ** 32 - 1), 0)
    .option('--stop <text...>', 'end before this text');
}

function addBias(text: string, before = new Map<number, number>()): Map<number, number> {
  const [, token, bias] = /^(\d+)=(-?\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (token === undefined) throw new InvalidArgumentError('Use ID=BIAS, such as 42=-100.');
  return new Map([...before, [Number(token), Number(bias)]]);
}

async function run(path: string, options: RunOptions, context: CommandContext): Promise<void> {
  const { signal, print, complain } = context;
  const { threads, memory, form, chat: _, system: __, ...sampling } = options;
  const loading = {
    ...{ threads, signal, memory, form, complain },
    prepare: (opened: OpenedModel) => readModelText(opened, parseModelConfig(opened.config)),
  };
  await withLanguageModel(path, loading, async (model, _, text) => {
    const prompt = promptOf(text, options);
    const { tokenizer } = text;
    if (options.chat !== true) print(options.prompt);
    for await (const piece of generate({ ...sampling, model, tokenizer, signal, prompt })) {
      print(piece.text);
    }
    print('\n');
  });
}

/** A chat's text has all special tokens written out. */
function promptOf({ tokenizer, chatTemplate }: ModelText, options: RunOptions): string | number[] {
  const { chat, system, prompt } = options;
  if (chat !== true) return prompt;
  const template = chatTemplate();
  if (template === undefined) {
    throw new CliError('BadInput', 'the model has no chat template; leave out --chat');
  }
  const messages = [
    ...(system === undefined ? [] : [{ role: 'system', content: system }]),
    { role: 'user', content: prompt },
  ];
  const text = template.render(messages, { addGenerationPrompt: true });
  return tokenizer.encode(text, { special: false });
}
