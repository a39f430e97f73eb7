// Bits against perplexity of our recipes beside llama.cpp's formats, on a real model: make
// bench-quality. The rows of the token file that perplexity is measured on and those that recipes
// are calibrated on are disjoint. The last line is JSON.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openCheckpoint } from '@entrofleet/artifact';
import { gatherStatistics } from '@entrofleet/calibration';
import { z } from 'zod';
import {
  blockSchemes,
  measureBlocks,
  measureFloat,
  measureRecipe,
  type QualityBench,
  type QualityPoint,
} from './quality.schemes.ts';

const FOLDER = resolve(import.meta.dirname, '../../../shared/models/stories15M');
const EVALUATION_ROWS = 32;
const RECIPES = [
  ...['u8', 'u4-paper', 'rd-2.8', 'rd-3', 'rd-3.25', 'rd-3.4', 'rd-3.7', 'rd-4.2', 'rd-5'],
  ...['rd-q18', 'rd-q21', 'rd-q24', 'rd-q30'],
];
const CALIBRATED = ['rd-2.4', 'rd-2.6', 'rd-2.8', 'rd-3', 'rd-3.25', 'rd-3.7', 'rd-4.2', 'rd-q21'];

if (!existsSync(FOLDER)) {
  console.error(`SKIPPED: the quality bench, for want of the model in ${FOLDER}`);
  process.exit(0);
}

const tokensSchema = z.union([
  z.array(z.array(z.int())),
  z.object({ input_ids: z.array(z.array(z.int())) }).transform((file) => file.input_ids),
]);

function tableLine(point: QualityPoint): string {
  const scheme = point.isCalibrated ? `${point.scheme}, calibrated` : point.scheme;
  const entropy = point.entropyBitsPerWeight?.toFixed(3) ?? '';
  return [
    scheme.padEnd(32),
    point.bitsPerWeight.toFixed(3).padStart(7),
    entropy.padStart(8),
    point.perplexity.toFixed(3).padStart(9),
  ].join(' ');
}

async function measureAll(bench: QualityBench, calibrationRows: readonly (readonly number[])[]) {
  const points: QualityPoint[] = [];
  const add = async (measuring: Promise<QualityPoint>) => {
    const point = await measuring;
    points.push(point);
    console.log(tableLine(point));
  };
  console.log(`${'scheme'.padEnd(32)}  stored  entropy perplexity (bits per weight, matrices)`);
  await add(measureFloat(bench));
  const layers = Number(bench.checkpoint.config.num_hidden_layers);
  for (const scheme of blockSchemes(layers)) await add(measureBlocks(bench, scheme));
  for (const text of RECIPES) await add(measureRecipe(bench, { text }));
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-calibration-'));
  try {
    const { checkpoint, threads } = bench;
    const rows = calibrationRows;
    const statistics = await gatherStatistics({ checkpoint, rows, folder, threads });
    const calibration = { statistics, folder };
    for (const text of CALIBRATED) await add(measureRecipe(bench, { text, calibration }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return points;
}

const tokens = tokensSchema.parse(
  JSON.parse(await readFile(join(FOLDER, 'eval-tokens.json'), 'utf8')),
);
const threads = availableParallelism();
const checkpoint = await openCheckpoint(FOLDER, { tokenizer: 'optional', threads });
const rows = tokens.slice(0, EVALUATION_ROWS);
const points = await measureAll({ checkpoint, rows, threads }, tokens.slice(EVALUATION_ROWS));
await checkpoint.close();
const model = { path: FOLDER, evaluationRows: rows.length, calibrationFromRow: EVALUATION_ROWS };
console.log(JSON.stringify({ benchmark: 'quality', ...model, points }));
