/**
 * Our engine beside llama.cpp on the same weights, a model of 1.1 billion: `make bench-engine`.
 *
 *   node test/bench/engine.bench.ts [--rounds 5] [--turns 40] [--threads 2]
 *     [--folder .cache/engine-bench] [--json]
 *
 * Each round runs every variant once, each in a process of its own that finds its file on the disk
 * and not in memory; ratios are of one round. Decode speeds that are compared are measured by turns:
 * both are loaded, and now the one and then the other decodes a few tokens.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { native } from '@entrofleet/native';
import { LARGE_GEOMETRY } from '../fixtures/large.checkpoint.ts';
import { tensorLayout } from '../fixtures/tiny.checkpoint.ts';
import { spread } from './codec.measurement.ts';
import { measureTurns } from './decode.turns.ts';
import {
  decodeGoals,
  decodeResult,
  engineGoals,
  type GoalResult,
  goalResult,
  type Round,
} from './engine.goals.ts';
import { EngineModels, FAR_REACH, REACH } from './engine.models.ts';
import { ownPerplexity, peerPerplexity } from './engine.quality.ts';
import { goalTable, paperTable, speedTable, startTable, summarize, table } from './engine.table.ts';
import { LLAMA_BIN, runVariant, type Variant } from './engine.variants.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const REAL_MODEL = resolve(ROOT, '../shared/models/stories15M');
const QUALITY_ROWS = 32;
/** Not worse than Q4_0 on the real model; the second one when it is calibrated. */
const FOUR_BIT_RECIPE = 'rd-3.25';
const CALIBRATED_RECIPE = 'rd-2.8';

/** Of the processors; with more for other work, threads that wait for each other stand still. */
const BUSY_SHARE = 0.1;

const NAMES = {
  plain8: 'u8 plain',
  coded8: 'u8 coded',
  coded4: `${FOUR_BIT_RECIPE} coded`,
  peer8: 'llama.cpp Q8_0',
  peer4: 'llama.cpp Q4_0',
  paper4: [
    { plain: 'u4 plain', coded: 'u4 coded, 1.75 bits' },
    { plain: 'u4 plain, 1.4 bits', coded: 'u4 coded, 1.4 bits' },
  ],
} as const;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    turns: { type: 'string', default: '40' },
    threads: { type: 'string', default: '2' },
    folder: { type: 'string', default: join(ROOT, '.cache/engine-bench') },
    json: { type: 'boolean', default: false },
  },
});
const threads = Number(options.threads);
const hasPeer = existsSync(join(LLAMA_BIN, 'llama-peer'));

/** In an order that has peers run one after the other. */
async function prepareVariants(models: EngineModels): Promise<Variant[]> {
  const near = await models.checkpoint(REACH);
  const far = await models.checkpoint(FAR_REACH);
  const own = async (
    name: string,
    { source = near, recipe, form }: { source?: string; recipe: string; form: 'plain' | 'auto' },
  ): Promise<Variant> => {
    return { name, engine: 'entrofleet', path: await models.artifact(source, recipe), form };
  };
  const peer = async (name: string, format: 'Q8_0' | 'Q4_0'): Promise<Variant[]> => {
    if (!hasPeer) return [];
    return [{ name, engine: 'llama.cpp', path: await models.gguf(near, format) }];
  };
  const [paper, farPaper] = NAMES.paper4;
  return [
    ...(await peer(NAMES.peer8, 'Q8_0')),
    await own(NAMES.coded8, { recipe: 'u8', form: 'auto' }),
    await own(NAMES.plain8, { recipe: 'u8', form: 'plain' }),
    ...(await peer(NAMES.peer4, 'Q4_0')),
    await own(NAMES.coded4, { recipe: FOUR_BIT_RECIPE, form: 'auto' }),
    await own(`${CALIBRATED_RECIPE} coded`, { recipe: CALIBRATED_RECIPE, form: 'auto' }),
    await own(paper.coded, { recipe: 'u4-paper', form: 'auto' }),
    await own(paper.plain, { recipe: 'u4-paper', form: 'plain' }),
    await own(farPaper.coded, { source: far, recipe: 'u4-paper', form: 'auto' }),
    await own(farPaper.plain, { source: far, recipe: 'u4-paper', form: 'plain' }),
  ];
}

/** Perplexities of the formats that are compared, on a trained model. */
async function measureQuality(models: EngineModels): Promise<Record<string, number>> {
  if (!existsSync(REAL_MODEL)) {
    process.stderr.write(`bench-engine: SKIPPED perplexity: no model in ${REAL_MODEL}\n`);
    return {};
  }
  const tokens = JSON.parse(await readFile(join(REAL_MODEL, 'eval-tokens.json'), 'utf8'));
  const rows: number[][] = (tokens.input_ids ?? tokens).slice(0, QUALITY_ROWS);
  const found: Record<string, number> = {};
  for (const recipe of ['u8', FOUR_BIT_RECIPE]) {
    const path = await models.artifact(REAL_MODEL, recipe);
    found[recipe] = await ownPerplexity({ path, rows, threads });
  }
  for (const format of hasPeer ? (['Q8_0', 'Q4_0'] as const) : []) {
    const path = await models.gguf(REAL_MODEL, format);
    found[`llama.cpp ${format}`] = await peerPerplexity({ path, rows }, options.folder);
  }
  return found;
}

async function measureRounds(variants: readonly Variant[]): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let i = 0; i < Number(options.rounds); i++) {
    const round = new Map<string, Awaited<ReturnType<typeof runVariant>>>();
    for (const variant of variants) {
      const run = await runVariant(variant, threads);
      const { decodeTokensPerSecond: decode } = run;
      const told = `round ${i + 1}: ${variant.name}: ${decode.toFixed(1)} tokens/s`;
      process.stderr.write(`bench-engine: ${told}\n`);
      round.set(variant.name, run);
    }
    rounds.push(round);
  }
  return rounds;
}

async function measureDecode(variants: readonly Variant[]): Promise<GoalResult[]> {
  const results: GoalResult[] = [];
  for (const goal of decodeGoals(NAMES, hasPeer)) {
    const pair = [variantOf(variants, goal.own), variantOf(variants, goal.other)] as const;
    const turns = await measureTurns(pair, { turns: Number(options.turns), threads });
    const result = decodeResult(goal, turns);
    process.stderr.write(`bench-engine: ${result.name}: ${result.ratio.median.toFixed(2)}\n`);
    results.push(result);
  }
  return results;
}

function variantOf(variants: readonly Variant[], name: string): Variant {
  const variant = variants.find((of) => of.name === name);
  if (variant === undefined) throw new Error(`there is no variant "${name}"`);
  return variant;
}

/** Of the weights: all but the embedding, of which a token takes one row. */
function readShare(): number {
  const sizes = [...tensorLayout(LARGE_GEOMETRY)].map(({ name, shape }) => {
    return { name, weights: shape.reduce((product, n) => product * n, 1) };
  });
  const all = sizes.reduce((sum, { weights }) => sum + weights, 0);
  const [embedding] = sizes.filter(({ name }) => name.includes('embed_tokens'));
  return 1 - (embedding?.weights ?? 0) / all;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

const models = new EngineModels(options.folder, threads);
const quality = await measureQuality(models);
const variants = await prepareVariants(models);
const decode = await measureDecode(variants);
const rounds = await measureRounds(variants);
const summaries = variants.map(({ name }) => summarize(name, rounds, readShare()));
const others = engineGoals(NAMES, hasPeer).map((goal) => goalResult(goal, rounds));
const goals = [...decode, ...others];
const [paper] = NAMES.paper4;
const paperColumns = [NAMES.plain8, NAMES.coded8, paper.plain, paper.coded].map((name) =>
  summarize(name, rounds, readShare()),
);
const shares = rounds.flatMap((round) => [...round.values()].map((run) => run.othersShare));
const disturbance = spread(shares);
if (!options.json) {
  const noise = `other work took ${percent(disturbance.median)} of the processors (of a run at most ${percent(disturbance.greatest)})`;
  const peer = hasPeer ? '' : '; llama.cpp is MISSING, only ours were measured';
  console.log(`${threads} threads, ${native.cpu().isa}, ${rounds.length} rounds${peer}`);
  console.log(`${noise}\n`);
  console.log(`${speedTable(summaries)}\n`);
  console.log(`${startTable(summaries)}\n`);
  console.log(`${goalTable(goals, disturbance.median > BUSY_SHARE)}\n`);
  console.log(`${paperTable(paperColumns)}\n`);
  const perplexities = Object.entries(quality).map(([name, value]) => [name, value.toFixed(4)]);
  console.log(`${table(['perplexity of stories15M', ''], perplexities)}\n`);
}
const machine = { threads, isa: native.cpu().isa, othersShare: disturbance };
console.log(JSON.stringify({ benchmark: 'engine', ...machine, quality, summaries, goals }));
