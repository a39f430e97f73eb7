import { resolve } from 'node:path';
import { dropFromMemory, readFromDiskMs, runMeasured } from './measured.process.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CLI = resolve(ROOT, 'apps/cli/dist/main.js');
export const LLAMA_BIN = resolve(ROOT, '.cache/llama/build/bin');
export const PROMPT_TOKENS = [128, 512] as const;
export const DECODE_TOKENS = 128;

/** One way to run a model: our engine on an artifact, or llama.cpp on a GGUF file. */
export interface Variant {
  readonly name: string;
  readonly engine: 'entrofleet' | 'llama.cpp';
  readonly path: string;
  /** Of ours: `plain` keeps symbols of 8 or 4 bits, `auto` what the engine finds best. */
  readonly form?: 'plain' | 'auto';
}

/** What one run of a variant told; times in milliseconds. */
export interface EngineRun {
  readonly variant: string;
  /** The file from the disk with nothing else done. */
  readonly readMs: number;
  /** From the disk to a model that can run. */
  readonly loadMs: number;
  /** The same with the file in memory: decoding and bringing weights into form. */
  readonly warmLoadMs: number;
  /** From the start of the process to the first token after 128 of prompt. */
  readonly firstTokenMs: number;
  readonly firstPrefillMs: number;
  readonly prefillTokensPerSecond: Readonly<Record<string, number>>;
  readonly decodeTokensPerSecond: number;
  readonly weightBytes: number;
  readonly peakRssBytes: number;
  /** Of the processors' time while speeds were measured, what other work took. */
  readonly othersShare: number;
}

export function runVariant(variant: Variant, threads: number): Promise<EngineRun> {
  return variant.engine === 'entrofleet' ? runOurs(variant, threads) : runTheirs(variant, threads);
}

/** The command of ours as anyone can type it. */
export function benchCommand(
  { path, form }: Variant,
  options: { threads: number; repetitions: number },
): string[] {
  const words = ['--threads', options.threads, '--repetitions', options.repetitions].map(String);
  const chosen = form === undefined ? [] : ['--form', form];
  return [process.execPath, CLI, 'bench', path, ...words, ...chosen, '--json'];
}

async function runOurs(variant: Variant, threads: number): Promise<EngineRun> {
  const readMs = readFromDiskMs(variant.path);
  const warm = await runMeasured(benchCommand(variant, { threads, repetitions: 0 }));
  dropFromMemory(variant.path);
  const { stdout, peakRssBytes, othersShare } = await runMeasured(
    benchCommand(variant, { threads, repetitions: 1 }),
  );
  const figures = JSON.parse(stdout);
  return {
    variant: variant.name,
    readMs,
    loadMs: figures.loadMs,
    warmLoadMs: JSON.parse(warm.stdout).loadMs,
    firstTokenMs: figures.firstToken.sinceStartMs,
    firstPrefillMs: figures.firstToken.prefillMs,
    prefillTokensPerSecond: Object.fromEntries(
      figures.prefill.map((of: { tokens: number; tokensPerSecond: { median: number } }) => [
        of.tokens,
        of.tokensPerSecond.median,
      ]),
    ),
    decodeTokensPerSecond: figures.decode.tokensPerSecond.median,
    weightBytes: figures.weightBytes,
    peakRssBytes: Math.max(peakRssBytes, figures.peakRssBytes),
    othersShare,
  };
}

interface LlamaBenchRow {
  readonly n_prompt: number;
  readonly n_gen: number;
  readonly avg_ts: number;
  readonly model_size: number;
}

async function runTheirs({ name, path }: Variant, threads: number): Promise<EngineRun> {
  const start = ['start', path, String(PROMPT_TOKENS[0]), '0', String(threads)];
  const readMs = readFromDiskMs(path);
  const warm = JSON.parse((await runMeasured([`${LLAMA_BIN}/llama-peer`, ...start])).stdout);
  dropFromMemory(path);
  const cold = JSON.parse((await runMeasured([`${LLAMA_BIN}/llama-peer`, ...start])).stdout);
  const words = ['-p', PROMPT_TOKENS.join(','), '-n', DECODE_TOKENS, '-t', threads, '-r', 1];
  const { stdout, peakRssBytes, othersShare } = await runMeasured([
    ...[`${LLAMA_BIN}/llama-bench`, '-m', path, '-o', 'json'],
    ...words.map(String),
  ]);
  const rows: LlamaBenchRow[] = JSON.parse(stdout);
  const decode = rows.find(({ n_gen }) => n_gen > 0)?.avg_ts ?? Number.NaN;
  return {
    variant: name,
    readMs,
    loadMs: cold.loadMs,
    warmLoadMs: warm.loadMs,
    firstTokenMs: cold.firstTokenMs,
    firstPrefillMs: cold.firstTokenMs - cold.loadMs,
    prefillTokensPerSecond: Object.fromEntries(
      rows.filter(({ n_gen }) => n_gen === 0).map(({ n_prompt, avg_ts }) => [n_prompt, avg_ts]),
    ),
    decodeTokensPerSecond: decode,
    weightBytes: rows[0]?.model_size ?? Number.NaN,
    peakRssBytes,
    othersShare,
  };
}
