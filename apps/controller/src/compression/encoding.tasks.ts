import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  assembleParts,
  type Calibration,
  type Checkpoint,
  type EncodingPlan,
  encodePart,
  openCheckpoint,
  parsePlan,
  planEncoding,
  planText,
} from '@entrofleet/artifact';
import { gatherStatistics } from '@entrofleet/calibration';
import { LIMITS, parseRecipe } from '@entrofleet/protocol';
import { Retryable } from '../errors.ts';
import type { Assembled, AssembleTask, EncodeTask, PlanTask } from './compressor.messages.ts';
import { readCalibrationTokens } from './evaluation.tokens.ts';
import { SourceError } from './source.error.ts';
import { type OpenSource, openSource } from './source.opening.ts';

type OnProgress = (fraction: number) => void;

/**
 * Writes the encoding plan of one variant.
 * @throws SourceError, CheckpointError, EngineError, CodecError
 */
export async function planTask(task: PlanTask, onProgress: OnProgress): Promise<void> {
  const recipe = parseRecipe(task.recipe);
  if (recipe === undefined) {
    const message = `unknown recipe "${task.recipe}"`;
    throw new SourceError({ reason: 'UnknownRecipe', message, pointer: '/spec/variants' });
  }
  // Checks config, shapes and tokenizer as well, before hours go into groups.
  const { checkpoint, config } = await openSource(task.sourcePath, { threads: task.threads });
  try {
    const plan = await planEncoding({
      checkpoint,
      recipe,
      calibration: await calibrate(task, { checkpoint, config }),
      layout: task.layout,
      chunkSizeBytes: LIMITS.chunkSizeBytes,
      groupSizeBytes: task.groupSizeBytes,
      threads: task.threads,
      onProgress,
    });
    await writeDurably(task.planPath, planText(plan));
  } finally {
    await checkpoint.close();
  }
}

/**
 * Encodes one group of the plan into its part file.
 * @throws Retryable `BadPlan`, CheckpointError, ArtifactError
 */
export async function encodeTask(task: EncodeTask, onProgress: OnProgress): Promise<void> {
  const plan = await readPlan(task.planPath);
  await withCheckpoint(task.sourcePath, (checkpoint) =>
    encodePart(task.group, {
      checkpoint,
      plan,
      path: task.partPath,
      threads: task.threads,
      calibrationFolder: calibrationFolderOf(task.planPath),
      onProgress: (doneBytes) => {
        const sizeBytes = plan.groups[task.group]?.sizeBytes ?? doneBytes;
        onProgress(Math.min(1, doneBytes / sizeBytes));
      },
    }),
  );
}

/** @throws Retryable `BadPlan`, CheckpointError, ArtifactError `BadPart` and others. */
export async function assembleTask(task: AssembleTask, onProgress: OnProgress): Promise<Assembled> {
  const plan = await readPlan(task.planPath);
  return withCheckpoint(task.sourcePath, (checkpoint) =>
    assembleParts(
      { checkpoint, plan, path: task.draftPath, onProgress },
      (index) => task.partPaths[index] ?? '',
    ),
  );
}

/** Leaves the statistics' files beside the plan, where {@link encodeTask} finds them. */
async function calibrate(
  { calibration, planPath, threads }: PlanTask,
  { checkpoint, config }: OpenSource,
): Promise<Calibration | undefined> {
  if (calibration === undefined) return undefined;
  const rows = await readCalibrationTokens(calibration, config);
  const folder = calibrationFolderOf(planPath);
  return { statistics: await gatherStatistics({ checkpoint, rows, folder, threads }), folder };
}

function calibrationFolderOf(planPath: string): string {
  return join(dirname(planPath), 'calibration');
}

async function readPlan(path: string): Promise<EncodingPlan> {
  const plan = parsePlan(await readFile(path, 'utf8').catch(() => ''));
  if (plan === undefined) throw new Retryable('BadPlan', `${path} is no usable plan`);
  return plan;
}

async function withCheckpoint<T>(
  path: string,
  use: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.draft`;
  try {
    const file = await open(draft, 'w');
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}
