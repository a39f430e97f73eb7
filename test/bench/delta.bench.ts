// Size of deltas beside that of the artifacts they give, over how far a fine-tuning went: make
// bench-delta. Every delta is applied, and what comes out compared. The last line is JSON.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import {
  applyDeltaToFile,
  type EncodedDelta,
  encodeArtifact,
  encodeDelta,
  openCheckpoint,
} from '@entrofleet/artifact';
import { parseRecipe } from '@entrofleet/protocol';
import { removeTemporaryFolders, temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { type FineTuning, writeFineTuned } from '../fixtures/fine.tuned.checkpoint.ts';

const MODEL = resolve(import.meta.dirname, '../../../shared/models/stories15M');
const RECIPES = ['u8', 'rd-4.2', 'u4-paper'];
const NOISES = [0.001, 0.003, 0.01, 0.03, 0.1];
const KINDS = ['relative', 'spread'] as const;
/** What a fine-tuning of 1 % may cost of the whole artifact, with recipe u8. */
const GOAL_SHARE = 0.6;
const GOAL_NOISE = 0.01;
/** What a change of one tensor may cost over the chunks of that tensor. */
const GOAL_OVER = 0.01;
const ONE_TENSOR = 'model.layers.3.mlp.up_proj.weight';

interface Point {
  readonly change: string;
  readonly noise: number;
  readonly recipe: string;
  readonly deltaBytes: number;
  readonly targetBytes: number;
  /** Header and chunks that a device would fetch without the delta. */
  readonly reuseBytes: number;
  /** Of the chunks alone. */
  readonly lackedBytes: number;
  readonly makeSeconds: number;
  readonly applySeconds: number;
}

if (!existsSync(MODEL)) {
  console.error(`SKIPPED: the delta bench, for want of the model in ${MODEL}`);
  process.exit(0);
}

const threads = availableParallelism();
const work = await temporaryFolder('delta-bench');

async function encode(folder: string, recipeText: string, path: string): Promise<void> {
  const recipe = parseRecipe(recipeText);
  if (recipe === undefined) throw new Error(`${recipeText} is no recipe`);
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional', threads });
  await encodeArtifact({ checkpoint, recipe, path, threads });
  await checkpoint.close();
}

async function secondsOf<T>(run: () => Promise<T>): Promise<{ seconds: number; result: T }> {
  const begin = performance.now();
  const result = await run();
  return { seconds: (performance.now() - begin) / 1000, result };
}

async function measure(tuned: string, recipe: string): Promise<Omit<Point, 'change' | 'noise'>> {
  const [base, target, path, rebuilt] = ['base', 'target', 'delta', 'rebuilt'].map((name) =>
    join(work, `${name}-${recipe}`),
  ) as [string, string, string, string];
  if (!existsSync(base)) await encode(MODEL, recipe, base);
  await encode(tuned, recipe, target);
  const made = await secondsOf(() => encodeDelta({ base, target, path, threads }));
  const applied = await secondsOf(() => applyDeltaToFile({ base, delta: path, threads }, rebuilt));
  if (!(await readFile(rebuilt)).equals(await readFile(target))) {
    throw new Error(`the delta of ${tuned} with ${recipe} gives another artifact`);
  }
  const delta: EncodedDelta = made.result;
  return {
    recipe,
    deltaBytes: delta.ref.sizeBytes,
    targetBytes: delta.targetSizeBytes,
    reuseBytes: delta.reuseSizeBytes,
    lackedBytes: delta.items.reduce((sum, item) => sum + item.lackedBytes, 0),
    makeSeconds: made.seconds,
    applySeconds: applied.seconds,
  };
}

function tableLine(point: Point): string {
  const percent = (of: number) => `${((100 * point.deltaBytes) / of).toFixed(2)} %`.padStart(9);
  return [
    point.change.padEnd(12),
    `${(100 * point.noise).toFixed(1)} %`.padStart(7),
    point.recipe.padEnd(9),
    String(point.deltaBytes).padStart(9),
    percent(point.targetBytes),
    percent(point.reuseBytes),
    point.makeSeconds.toFixed(2).padStart(7),
    point.applySeconds.toFixed(2).padStart(7),
  ].join(' ');
}

const points: Point[] = [];
let folders = 0;

async function addPoints(change: string, tuning: FineTuning): Promise<void> {
  const tuned = join(work, `tuned-${folders++}`);
  await writeFineTuned(MODEL, tuned, tuning);
  for (const recipe of RECIPES) {
    const point = { change, noise: tuning.noise, ...(await measure(tuned, recipe)) };
    points.push(point);
    console.log(tableLine(point));
  }
}

console.log(
  `change         noise recipe        bytes of target of chunks  make s apply s (${threads} threads)`,
);
for (const kind of KINDS) {
  for (const noise of NOISES) await addPoints(kind, { kind, noise });
}
const changes = (name: string) => name === ONE_TENSOR;
await addPoints('one tensor', { kind: 'relative', noise: GOAL_NOISE, changes });
// Nothing is left of what it was, so that its chunks have to be fetched.
await addPoints('one tensor', { kind: 'spread', noise: 100, changes });
await removeTemporaryFolders();

const tuned = points.filter(({ recipe, noise, change }) => {
  return recipe === 'u8' && noise === GOAL_NOISE && change !== 'one tensor';
});
const share = Math.max(...tuned.map(({ deltaBytes, targetBytes }) => deltaBytes / targetBytes));
const over = (of: 'deltaBytes' | 'reuseBytes') => {
  const single = points.filter(({ change }) => change === 'one tensor');
  return Math.max(...single.map((point) => point[of] / point.lackedBytes - 1));
};
const goals = [
  { goal: 'a fine-tuning of 1 %, share of u8', value: share, bound: GOAL_SHARE },
  { goal: 'one tensor, over its chunks', value: over('deltaBytes'), bound: GOAL_OVER },
].map((goal) => ({ ...goal, isMet: goal.value <= goal.bound }));
for (const { goal, value, bound, isMet } of goals) {
  console.log(`${isMet ? 'met ' : 'MISS'} ${goal}: ${value.toFixed(4)} of at most ${bound}`);
}
console.log(
  `     without a delta, for the header too: ${over('reuseBytes').toFixed(4)} over its chunks`,
);
console.log(JSON.stringify({ bench: 'delta', model: 'stories15M', points, goals }));
if (goals.some(({ isMet }) => !isMet)) process.exitCode = 1;
