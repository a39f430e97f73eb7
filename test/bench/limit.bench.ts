/**
 * Our engine and llama.cpp under a memory limit, 1.1 billion weights: `make bench-limit`.
 *
 *   node test/bench/limit.bench.ts [--limits 1000,600] [--rounds 3] [--threads 2]
 *                                  [--folder .cache/engine-bench] [--json]
 *
 * A control group counts all memory of a process, the pages of mapped files included. The first limit
 * (MB) holds u8 as it is coded, but neither plain u8 nor Q8_0; the second one not even that.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { spread } from './codec.measurement.ts';
import { EngineModels, REACH } from './engine.models.ts';
import { table } from './engine.table.ts';
import { benchCommand, LLAMA_BIN, type Variant } from './engine.variants.ts';
import {
  dropFromMemory,
  type MeasuredOutput,
  ProcessFailure,
  runMeasured,
} from './measured.process.ts';
import { createMemoryGroup } from './memory.group.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MEGABYTE = 1e6;
/** Our process is told to stay below the limit, where the kernel ends it, by some margin. */
const BUDGET_SHARE = 0.95;
const PEER_TOKENS = 32;

const { values: options } = parseArgs({
  options: {
    limits: { type: 'string', default: '1000,600' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    folder: { type: 'string', default: join(ROOT, '.cache/engine-bench') },
    json: { type: 'boolean', default: false },
  },
});
const threads = Number(options.threads);

interface LimitedRun {
  readonly decodeTokensPerSecond: number;
  readonly peakRssBytes: number;
}

interface LimitedResult {
  readonly variant: string;
  readonly limitMegabytes: number;
  readonly file: string;
  /** Undefined when the process was ended by the limit. */
  readonly runs: readonly (LimitedRun | undefined)[];
}

interface LimitedVariant extends Variant {
  /** The command under a limit of so many bytes. */
  readonly command: (limitBytes: number) => readonly string[];
  readonly read: (output: MeasuredOutput) => LimitedRun;
}

function own(name: string, path: string, form: 'plain' | 'auto'): LimitedVariant {
  const variant = { name, engine: 'entrofleet', path, form } as const;
  return {
    ...variant,
    command: (limitBytes) => [
      ...benchCommand(variant, { threads, repetitions: 1 }),
      ...(form === 'auto' ? ['--memory', `${Math.floor(BUDGET_SHARE * limitBytes)}B`] : []),
    ],
    read: ({ stdout, peakRssBytes }) => {
      const decodeTokensPerSecond = JSON.parse(stdout).decode.tokensPerSecond.median;
      return { decodeTokensPerSecond, peakRssBytes };
    },
  };
}

function peer(name: string, path: string): LimitedVariant {
  const words = ['start', path, '128', PEER_TOKENS, threads, 'mapped'].map(String);
  return {
    ...{ name, engine: 'llama.cpp', path },
    command: () => [join(LLAMA_BIN, 'llama-peer'), ...words],
    read: ({ stdout, peakRssBytes }) => {
      return { decodeTokensPerSecond: JSON.parse(stdout).decodeTokensPerSecond, peakRssBytes };
    },
  };
}

/** Pages of programs and libraries are resident, but may be another group's. */
const RESIDENT_SLACK = 1.08;

async function runLimited(
  variant: LimitedVariant,
  limitBytes: number,
): Promise<LimitedRun | undefined> {
  const group = createMemoryGroup(limitBytes);
  if (group === undefined) {
    throw new Error(
      'no control group can be made here; run as root, or where cgroups are writable',
    );
  }
  try {
    dropFromMemory(variant.path);
    const { before } = group;
    const run = variant.read(await runMeasured(variant.command(limitBytes), { before }));
    if (run.peakRssBytes <= RESIDENT_SLACK * limitBytes) return run;
    throw new Error(
      `${variant.path} is in memory at another process's cost; end what has it mapped`,
    );
  } catch (error) {
    if (error instanceof ProcessFailure && error.signal === 'SIGKILL') return undefined;
    throw error;
  } finally {
    group.remove();
  }
}

async function prepareVariants(models: EngineModels): Promise<LimitedVariant[]> {
  const source = await models.checkpoint(REACH);
  // Coded matrices are decoded for every token, and lanes decode ten times as fast as streams.
  const u8 = await models.artifact(source, 'u8', 'lanes');
  const ours = [own('u8 coded', u8, 'auto'), own('u8 plain', u8, 'plain')];
  if (!existsSync(join(LLAMA_BIN, 'llama-peer'))) return ours;
  return [peer('llama.cpp Q8_0, mapped', await models.gguf(source, 'Q8_0')), ...ours];
}

async function measureLimit(
  variants: readonly LimitedVariant[],
  limitMegabytes: number,
): Promise<LimitedResult[]> {
  const runs = new Map<string, (LimitedRun | undefined)[]>();
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const variant of variants) {
      const run = await runLimited(variant, limitMegabytes * MEGABYTE);
      const told =
        run === undefined ? 'killed' : `${run.decodeTokensPerSecond.toFixed(2)} tokens/s`;
      process.stderr.write(`bench-limit: ${limitMegabytes} MB, ${variant.name}: ${told}\n`);
      runs.set(variant.name, [...(runs.get(variant.name) ?? []), run]);
    }
  }
  return variants.map(({ name, path }) => {
    return { variant: name, limitMegabytes, file: path, runs: runs.get(name) ?? [] };
  });
}

function tableRow({ variant, limitMegabytes, runs }: LimitedResult): string[] {
  const name = `${limitMegabytes} MB: ${variant}`;
  const ended = runs.filter((run) => run !== undefined);
  if (ended.length < runs.length) return [name, 'killed for memory', ''];
  const speed = spread(ended.map((run) => run.decodeTokensPerSecond));
  const [median, least, greatest] = [speed.median, speed.least, speed.greatest].map((value) =>
    value.toFixed(2),
  );
  const peak = Math.max(...ended.map((run) => run.peakRssBytes));
  return [name, `${median} (${least}-${greatest})`, `${(peak / MEGABYTE).toFixed(0)} MB`];
}

const variants = await prepareVariants(new EngineModels(options.folder, threads));
const results: LimitedResult[] = [];
for (const limit of options.limits.split(',').map(Number)) {
  results.push(...(await measureLimit(variants, limit)));
}
if (!options.json) {
  console.log(`${table(['limit', 'decode tokens/s', 'peak RSS'], results.map(tableRow))}\n`);
}
console.log(JSON.stringify({ benchmark: 'limit', threads, results }));
