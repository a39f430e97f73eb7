import { argmax, type LanguageModel, type RotaryPrecision } from '@entrofleet/engine';
import { type Command, Option } from 'commander';
import type { CommandContext } from './command.context.ts';
import { withLanguageModel } from './opened.model.ts';
import { addMemoryOptions, type MemoryOptions, threadsOption } from './options.ts';
import { readTokenRows } from './token.file.ts';

/** Positions whose logits are held at a time. */
const BLOCK_TOKENS = 64;

interface LogitsOptions extends MemoryOptions {
  readonly ids: string;
  readonly rotary: RotaryPrecision;
  readonly threads: number;
}

interface RowLogits {
  readonly argmax: number[];
  readonly logitsLast: number[];
}

export function addLogitsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('logits')
    .description('print the likeliest token at every position, and the last logits, as JSON')
    .argument('<path>', 'artifact or Hugging Face folder')
    .addOption(
      new Option('--ids <file>', 'JSON: [1, 2] or {"input_ids": [1, 2]}').makeOptionMandatory(),
    )
    .addOption(
      new Option('--rotary <precision>', 'bf16: as in a PyTorch model cast whole to bfloat16')
        .choices(['exact', 'bf16'])
        .default('exact'),
    )
    .addOption(threadsOption());
  addMemoryOptions(command)
    .addHelpText('after', '\nExample:\n  entrofleet logits model.efa --ids golden.json')
    .action(async (path: string, options: LogitsOptions) => {
      const { signal, complain } = context;
      const { threads, rotary: rotaryPrecision, memory, form } = options;
      const loading = { threads, signal, rotaryPrecision, memory, form, complain };
      await withLanguageModel(path, loading, async (model) => {
        const { rows, isList } = await readTokenRows(options.ids, model.config);
        const results: RowLogits[] = [];
        for (const row of rows) results.push(await rowLogits(model, row, signal));
        const lists = {
          argmax: results.map((result) => result.argmax),
          logits_last: results.map((result) => result.logitsLast),
        };
        const one = { argmax: lists.argmax[0], logits_last: lists.logits_last[0] };
        context.print(`${JSON.stringify(isList ? lists : one)}\n`);
      });
    });
}

async function rowLogits(
  model: LanguageModel,
  tokens: readonly number[],
  signal: AbortSignal,
): Promise<RowLogits> {
  const size = model.config.vocabularySize;
  const session = model.createSession(tokens.length);
  try {
    const likeliest: number[] = [];
    let last = new Float32Array();
    for (let start = 0; start < tokens.length; start += BLOCK_TOKENS) {
      signal.throwIfAborted();
      const logits = await session.allLogits(tokens.slice(start, start + BLOCK_TOKENS));
      for (let at = 0; at < logits.length; at += size) {
        last = new Float32Array(logits.subarray(at, at + size));
        likeliest.push(argmax(last));
      }
    }
    return { argmax: likeliest, logitsLast: Array.from(last) };
  } finally {
    session.close();
  }
}
