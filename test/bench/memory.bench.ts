// Peak memory of compression, as JSON: `make bench-memory`. A checkpoint of 2.2 GB is generated and
// compressed by the controller's own child processes, a process for each tensor group; each tells
// its peak of physical memory (VmHWM) when it is done. Evaluation is left out: it holds the source
// model in float32, whatever the groups are.
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GROUP_SIZE_BYTES_DEFAULT, parsePlan } from '@entrofleet/artifact';
import { runCompressor } from '../../apps/controller/src/compression/compressor.process.ts';
import { writeLargeCheckpoint } from '../fixtures/large.checkpoint.ts';

const RECIPES = ['u8', 'u4-paper', 'rd-4.2'] as const;
const THREADS = 2;
const MIB = 1024 * 1024;

const run = { signal: new AbortController().signal };
const mebibytes = (bytes: number) => Math.round(bytes / MIB);

async function timed<T>(work: Promise<T>): Promise<{ value: T; seconds: number }> {
  const start = performance.now();
  return { value: await work, seconds: (performance.now() - start) / 1000 };
}

async function measure(recipe: string, folder: string, sourcePath: string) {
  const planPath = join(folder, recipe, 'plan.json');
  const draftPath = join(folder, recipe, 'model.efa');
  const groupSizeBytes = GROUP_SIZE_BYTES_DEFAULT;
  const calibrationFolder = join(folder, recipe, 'calibration');
  const base = { sourcePath, planPath, threads: THREADS, calibrationFolder };
  const planned = await timed(
    runCompressor({ task: 'plan', ...base, recipe, layout: 'auto', groupSizeBytes }, 'done', run),
  );
  const plan = parsePlan(await readFile(planPath, 'utf8'));
  if (plan === undefined) throw new Error(`${planPath} is no plan`);
  const partPaths = plan.groups.map((_, group) => join(folder, recipe, `part-${group}`));
  const groups = [];
  for (const [group, partPath] of partPaths.entries()) {
    groups.push(
      await timed(runCompressor({ task: 'encode', ...base, group, partPath }, 'done', run)),
    );
  }
  const assembled = await timed(
    runCompressor(
      { task: 'assemble', sourcePath, planPath, partPaths, draftPath },
      'assembled',
      run,
    ),
  );
  const { size } = await stat(draftPath);
  await rm(join(folder, recipe), { recursive: true });
  const peaks = groups.map(({ value }) => mebibytes(value.peakMemoryBytes));
  return {
    recipe,
    id: assembled.value.result.ref.id,
    artifactBytes: size,
    boundMiB: mebibytes(plan.peakMemoryBytes),
    plan: { peakMiB: mebibytes(planned.value.peakMemoryBytes), seconds: planned.seconds },
    groups: groups.length,
    encode: { peakMiB: Math.max(...peaks), peaksMiB: peaks, seconds: sum(groups) },
    assemble: { peakMiB: mebibytes(assembled.value.peakMemoryBytes), seconds: assembled.seconds },
  };
}

const sum = (of: readonly { seconds: number }[]) =>
  of.reduce((all, { seconds }) => all + seconds, 0);

const folder = await mkdtemp(join(tmpdir(), 'entrofleet-memory-'));
try {
  const sourcePath = join(folder, 'source');
  const source = await writeLargeCheckpoint(sourcePath);
  const results = [];
  for (const recipe of RECIPES) results.push(await measure(recipe, folder, sourcePath));
  const within = results.every(({ boundMiB, plan, encode, assemble }) =>
    [plan, encode, assemble].every(({ peakMiB }) => peakMiB <= boundMiB),
  );
  console.log('recipe      bound MiB  plan  encode  assemble');
  for (const { recipe, boundMiB, plan, encode, assemble } of results) {
    const peaks = [plan, encode, assemble].map(({ peakMiB }) => String(peakMiB).padStart(8));
    console.log(`${recipe.padEnd(12)}${String(boundMiB).padStart(9)}${peaks.join('')}`);
  }
  console.log(JSON.stringify({ source, threads: THREADS, within, results }));
  process.exitCode = within ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
