import { argmax, type LanguageModel } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import type { Command } from 'commander';
import { type BenchFigures, benchText, percentile } from './bench.text.ts';
import { CliError } from './cli.error.ts';
import { type CommandContext, jsonText } from './command.context.ts';
import { withLanguageModel } from './opened.model.ts';
import { jsonOption, threadsOption } from './options.ts';

const PREFILL_TOKENS = [128, 512];
const DECODE_TOKENS = 128;
const DECODE_PROMPT_TOKENS = 8;
/** A prime beyond any small vocabulary spreads the prompt over the embedding. */
const TOKEN_STRIDE = 7919;

export function addBenchCommand(program: Command, context: CommandContext): void {
  program
    .command('bench')
    .description('time prefill of 128 and 512 tokens and decode of 128')
    .argument('<path>', 'artifact or Hugging Face folder')
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  entrofleet bench model.efa --threads 2 --json')
    .action(async (path: string, options: { threads: number; json?: boolean }) => {
      const startMs = performance.now();
      const { threads } = options;
      const { signal } = context;
      await withLanguageModel(path, { threads, signal }, async (model) => {
        const loadMs = performance.now() - startMs;
        const figures = { path, threads, loadMs, ...(await measure(model, signal)) };
        context.print(options.json === true ? jsonText(figures) : benchText(figures));
      });
    });
}

/** Prefill lengths beyond the model's context are left out. */
async function measure(
  model: LanguageModel,
  signal: AbortSignal,
): Promise<Omit<BenchFigures, 'path' | 'threads' | 'loadMs'>> {
  const { contextLength } = model.config;
  if (contextLength <= DECODE_PROMPT_TOKENS) {
    throw new CliError('BadInput', `a context of ${contextLength} tokens is too short to time`);
  }
  const prefill: BenchFigures['prefill'][number][] = [];
  for (const tokens of PREFILL_TOKENS.filter((count) => count <= contextLength)) {
    prefill.push({ tokens, tokensPerSecond: await timePrefill(model, tokens, signal) });
  }
  const decode = await timeDecode(model, signal);
  return {
    isa: native.cpu().isa,
    weightBytes: model.weightBytes,
    prefill,
    decode,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function promptOf(model: LanguageModel, length: number): number[] {
  return Array.from({ length }, (_, i) => (i * TOKEN_STRIDE) % model.config.vocabularySize);
}

async function timePrefill(
  model: LanguageModel,
  tokens: number,
  signal: AbortSignal,
): Promise<number> {
  const session = model.createSession(tokens);
  try {
    await session.append(promptOf(model, Math.min(tokens, DECODE_PROMPT_TOKENS)), { signal });
    session.truncate(0);
    const startMs = performance.now();
    await session.append(promptOf(model, tokens), { signal });
    return (tokens * 1000) / (performance.now() - startMs);
  } finally {
    session.close();
  }
}

async function timeDecode(
  model: LanguageModel,
  signal: AbortSignal,
): Promise<BenchFigures['decode']> {
  const room = model.config.contextLength - DECODE_PROMPT_TOKENS;
  const tokens = Math.min(DECODE_TOKENS, room);
  const session = model.createSession(DECODE_PROMPT_TOKENS + tokens);
  try {
    let logits = await session.append(promptOf(model, DECODE_PROMPT_TOKENS), { signal });
    const timesMs: number[] = [];
    for (let i = 0; i < tokens; i++) {
      const startMs = performance.now();
      logits = await session.append([argmax(logits)], { signal });
      timesMs.push(performance.now() - startMs);
    }
    const totalMs = timesMs.reduce((sum, timeMs) => sum + timeMs, 0);
    const tokensPerSecond = (tokens * 1000) / totalMs;
    const [p50Ms, p95Ms] = [percentile(timesMs, 0.5), percentile(timesMs, 0.95)];
    return { tokens, tokensPerSecond, p50Ms, p95Ms };
  } finally {
    session.close();
  }
}
