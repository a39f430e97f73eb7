import { argmax, type LanguageModel, type RotaryPrecision } from '@entrofleet/engine';
import { type Command, Option } from 'commander';
import type { CommandContext } from './command.context.ts';
import {
  type Comparison,
  compareRows,
  comparisonText,
  type RowLogits,
  readExpected,
} from './golden.comparison.ts';
import { withLanguageModel } from './opened.model.ts';
import { addMemoryOptions, type MemoryOptions, threadsOption } from './options.ts';
import { parseTokenRows, readTokenJson, type TokenRows } from './token.file.ts';

/** Positions whose logits are held at a time. */
const BLOCK_TOKENS = 64;

interface LogitsOptions extends MemoryOptions {
  readonly ids: string;
  readonly rotary: RotaryPrecision | 'auto';
  readonly threads: number;
}

export function addLogitsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('logits')
    .description('print the likeliest token at every position, and the last logits, as JSON')
    .argument('<path>', 'artifact or Hugging Face folder')
    .addOption(
      new Option(
        '--ids <file>',
        'JSON: [1, 2] or {"input_ids": [1, 2]}; "argmax" and "logits_last" there are compared',
      ).makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--rotary <precision>',
        'bf16: as in a PyTorch model cast whole to bfloat16; auto: exact, unless only bf16 ' +
          'gives what the file of ids expects',
      )
        .choices(['auto', 'exact', 'bf16'])
        .default('auto'),
    )
    .addOption(threadsOption());
  addMemoryOptions(command)
    .addHelpText('after', '\nExample:\n  entrofleet logits model.efa --ids golden.json')
    .action(async (path: string, options: LogitsOptions) => {
      const { rotary, tokens, results } = await chosenRun({ path, options, context });
      const lists = {
        argmax: results.map((result) => result.argmax),
        logits_last: results.map((result) => result.logitsLast),
      };
      const one = { argmax: lists.argmax[0], logits_last: lists.logits_last[0] };
      context.print(`${JSON.stringify({ ...(tokens.isList ? lists : one), rotary })}\n`);
    });
}

interface Run {
  readonly rotary: RotaryPrecision;
  readonly tokens: TokenRows;
  readonly results: readonly RowLogits[];
  /** undefined when nothing is expected. */
  readonly comparison: Comparison | undefined;
}

interface Request {
  readonly path: string;
  readonly options: LogitsOptions;
  readonly context: CommandContext;
}

/** The run whose output is printed; says what was compared and found on the way. */
async function chosenRun(request: Request): Promise<Run> {
  const { rotary } = request.options;
  const first = await runOnce(request, rotary === 'auto' ? 'exact' : rotary);
  if (first.comparison === undefined) return first;
  if (rotary !== 'auto' || first.comparison.agrees) {
    report(request, first, undefined);
    return first;
  }
  const second = await runOnce(request, 'bf16');
  const [used, other] = second.comparison?.agrees === true ? [second, first] : [first, second];
  report(request, used, other.comparison);
  return used;
}

function report({ context }: Request, run: Run, other: Comparison | undefined): void {
  const { rotary: precision, comparison } = run;
  if (comparison !== undefined) context.complain(comparisonText({ precision, comparison }, other));
}

async function runOnce(request: Request, rotary: RotaryPrecision): Promise<Run> {
  const { path, options } = request;
  const { signal, complain } = request.context;
  const { threads, memory, form } = options;
  const loading = { threads, signal, memory, form, complain, rotaryPrecision: rotary };
  return withLanguageModel(path, loading, async (model) => {
    const json = await readTokenJson(options.ids);
    const { vocabularySize } = model.config;
    const tokens = parseTokenRows(json, { path: options.ids, vocabularySize });
    const results: RowLogits[] = [];
    for (const row of tokens.rows) results.push(await rowLogits(model, row, signal));
    const expected = readExpected(json, tokens);
    const comparison = expected && compareRows(results, expected);
    return { rotary, tokens, results, comparison };
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
