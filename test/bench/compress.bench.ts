/**
 * Speed of compressing a checkpoint from file to file, and where the time goes: `make bench-compress`.
 *
 *   node test/bench/compress.bench.ts [--megabytes 1024] [--types f16,bf16] [--recipes u8,rd-4.2]
 *                                     [--rounds 3] [--json]
 *
 * Each measurement is a process of its own, bound to one or two cores with taskset: the runtime's
 * own threads (hashing, file access) then have no other core to go to, and "per core" means it.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { arch } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { spread } from './codec.measurement.ts';
import { type CompressRun, compressStages, compressWhole, RECIPES } from './compress.stages.ts';

const PROGRAM = resolve(import.meta.dirname, `../../libs/native/build/linux-${arch}/codec_bench`);
const SELF = fileURLToPath(import.meta.url);
const ROWS = 8192;
const COLUMNS = 4096;
const TENSOR_MEGABYTES = (ROWS * COLUMNS * 2) / 2 ** 20;
const recipeSchema = z.enum(['u8', 'rd-4.2']);
const typeSchema = z.enum(['f16', 'bf16']);

const { values: options } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1024' },
    types: { type: 'string', default: 'f16,bf16' },
    recipes: { type: 'string', default: Object.keys(RECIPES).join(',') },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    child: { type: 'string' },
    recipe: { type: 'string', default: 'u8' },
    cores: { type: 'string', default: '1' },
  },
});

interface Result {
  readonly type: string;
  readonly recipe: string;
  readonly cores: number;
  readonly runs: readonly CompressRun[];
}

async function runChild(folder: string): Promise<void> {
  const recipe = recipeSchema.parse(options.recipe);
  const threads = Number(options.cores);
  const run = await compressWhole(folder, { recipe, threads });
  const stages = recipe === 'u8' ? { stages: await compressStages(folder, threads) } : {};
  console.log(JSON.stringify({ ...run, ...stages }));
}

function runOnCores(folder: string, of: { recipe: string; cores: number }): CompressRun {
  const cores = of.cores === 1 ? '0' : `0-${of.cores - 1}`;
  const words = ['--child', folder, '--recipe', of.recipe, '--cores', String(of.cores)];
  const command = ['-c', cores, process.execPath, SELF, ...words];
  return JSON.parse(execFileSync('taskset', command, { encoding: 'utf8' }));
}

async function measureType(folder: string, type: z.infer<typeof typeSchema>): Promise<Result[]> {
  const tensors = Math.max(1, Math.round(Number(options.megabytes) / TENSOR_MEGABYTES));
  await mkdir(folder);
  await writeFile(join(folder, 'config.json'), '{}');
  const layout = join(folder, 'layout');
  const names = Array.from({ length: tensors }, (_, i) => `model.layers.${i}.mlp.gate_proj.weight`);
  await writeFile(layout, names.map((name) => `${name} ${ROWS} ${COLUMNS}\n`).join(''));
  const words = { type, layout, threads: 2 };
  const given = Object.entries(words).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const out = ['--out', join(folder, 'model.safetensors')];
  execFileSync(PROGRAM, ['checkpoint', ...given, ...out], { stdio: 'inherit' });
  const results: Result[] = [];
  for (const recipe of options.recipes.split(',').map((name) => recipeSchema.parse(name))) {
    for (const cores of [1, 2]) {
      process.stderr.write(`bench-compress: ${type} ${recipe} on ${cores} of the cores\n`);
      const rounds = Array.from({ length: Number(options.rounds) });
      const runs = rounds.map(() => runOnCores(folder, { recipe, cores }));
      results.push({ type, recipe, cores, runs });
    }
  }
  await rm(folder, { recursive: true });
  return results;
}

function summary({ runs, ...result }: Result) {
  const megabytes = (run: CompressRun) => run.sourceBytes / 1e6;
  const names = Object.keys(runs[0]?.stages ?? {});
  const stage = (name: string) =>
    spread(runs.map((run) => (run.stages?.[name]?.cpuSeconds ?? 0) / megabytes(run)));
  return {
    ...result,
    sourceBytes: runs[0]?.sourceBytes ?? 0,
    artifactBytes: runs[0]?.artifactBytes ?? 0,
    /** Both types take two bytes a weight. */
    bitsPerWeight: ((runs[0]?.artifactBytes ?? 0) * 16) / (runs[0]?.sourceBytes ?? 1),
    megabytesPerSecond: spread(runs.map((run) => megabytes(run) / run.whole.wallSeconds)),
    megabytesPerCpuSecond: spread(runs.map((run) => megabytes(run) / run.whole.cpuSeconds)),
    stageCpuNanosecondsPerByte: Object.fromEntries(
      names.map((name) => [name, stage(name).median * 1e3]),
    ),
  };
}

function table(results: readonly ReturnType<typeof summary>[]): string {
  const lines = results.map((result) => {
    const { megabytesPerSecond: wall, megabytesPerCpuSecond: cpu } = result;
    const stages = Object.entries(result.stageCpuNanosecondsPerByte);
    const total = stages.reduce((sum, [, cost]) => sum + cost, 0);
    const shares = stages.map(
      ([name, cost]) => `    ${name.padEnd(36)}${cost.toFixed(2)} ns (${percent(cost / total)})`,
    );
    const head =
      `${result.type} ${result.recipe} (${result.bitsPerWeight.toFixed(2)} bits per weight), ` +
      `${result.cores} core(s): ` +
      `${wall.median.toFixed(0)} MB/s (${wall.least.toFixed(0)}-${wall.greatest.toFixed(0)}), ` +
      `${cpu.median.toFixed(0)} MB per CPU second`;
    return [head, ...shares].join('\n');
  });
  const legend =
    'MB of source weights. Medians, with least and greatest. Stages: CPU time per byte of source, ' +
    'each run by itself.';
  return [...lines, legend].join('\n');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

async function runAll(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-bench-'));
  try {
    const results: Result[] = [];
    for (const type of options.types.split(',')) {
      results.push(...(await measureType(join(folder, type), typeSchema.parse(type))));
    }
    const summaries = results.map(summary);
    if (!options.json) console.log(`${table(summaries)}\n`);
    console.log(JSON.stringify({ benchmark: 'compress', results: summaries }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await (options.child === undefined ? runAll() : runChild(options.child));
