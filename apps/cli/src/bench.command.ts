import { native } from '@entrofleet/native';
import type { Command } from 'commander';
import { bytesPerToken, timeDecode, timeFirstToken, timePrefills } from './bench.measure.ts';
import { benchSummary, benchText } from './bench.text.ts';
import { type CommandContext, jsonText } from './command.context.ts';
import { withLanguageModel } from './opened.model.ts';
import {
  addMemoryOptions,
  integerFrom,
  jsonOption,
  type MemoryOptions,
  threadsOption,
} from './options.ts';

const REPETITIONS_MAX = 1000;

interface BenchCommandOptions extends MemoryOptions {
  readonly threads: number;
  readonly repetitions: number;
  readonly json?: boolean;
}

export function addBenchCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('bench')
    .description('time the first token, prefill of 128 and 512 tokens and decode of 128')
    .argument('<path>', 'artifact or Hugging Face folder')
    .option(
      '--repetitions <n>',
      'time prefill and decode so often; 0: the first token only',
      integerFrom(0, REPETITIONS_MAX),
      3,
    )
    .addOption(threadsOption())
    .addOption(jsonOption());
  addMemoryOptions(command)
    .addHelpText('after', '\nExample:\n  entrofleet bench model.efa --threads 2 --json')
    .action((path: string, options: BenchCommandOptions) => bench(path, options, context));
}

async function bench(
  path: string,
  options: BenchCommandOptions,
  { signal, print, complain }: CommandContext,
): Promise<void> {
  const startMs = performance.now();
  const { threads, repetitions, memory, form } = options;
  const loading = { threads, signal, memory, form, complain };
  await withLanguageModel(path, loading, async (model) => {
    const loadMs = performance.now() - startMs;
    const firstToken = await timeFirstToken(model, signal);
    const prefill = await timePrefills(model, { repetitions, signal });
    const decode = await timeDecode(model, { repetitions, signal });
    const summary = benchSummary({
      path,
      threads,
      isa: native.cpu().isa,
      loadMs,
      weightBytes: model.weightBytes,
      bytesPerToken: bytesPerToken(model),
      residency: model.residency?.explanation ?? null,
      firstToken,
      prefill,
      decode,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    });
    print(options.json === true ? jsonText(summary) : benchText(summary));
  });
}
