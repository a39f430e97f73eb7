import { readFile } from 'node:fs/promises';
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
import type { ModelConfig } from '@entrofleet/engine';
import { LIMITS, parseRecipe } from '@entrofleet/protocol';
import { Retryable } from '../errors.ts';
import { readCalibrationTokens } from './calibration.tokens.ts';
import type { Assembled, AssembleTask, EncodeTask, PlanTask } from './compressor.messages.ts';
import { writeDurably } from './durable.file.ts';
import { SourceError } from './source.error.ts';
import { openSource } from './source.opening.ts';

/** Share of planning that calibration takes, where there is one. */
const CALIBRATED = 0.8;

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
    const calibration = await calibrate(task, { checkpoint, config, onProgress });
    const begun = calibration === undefined ? 0 : CALIBRATED;
    const plan = await planEncoding({
      checkpoint,
      recipe,
      layout: task.layout,
      calibration,
      chunkSizeBytes: LIMITS.chunkSizeBytes,
      groupSizeBytes: task.groupSizeBytes,
      threads: task.threads,
      onProgress: (fraction) => onProgress(begun + (1 - begun) * fraction),
    });
    await writeDurably(task.planPath, planText(plan));
  } finally {
    await checkpoint.close();
  }
}

async function calibrate(
  { calibration, calibrationFolder: folder, threads }: PlanTask,
  of: { checkpoint: Checkpoint; config: ModelConfig; onProgress: OnProgress },
): Promise<Calibration | undefined> {
  if (calibration === undefined) return undefined;
  const { checkpoint, config, onProgress } = of;
  const rows = await readCalibrationTokens(calibration, config);
  const statistics = await gatherStatistics({
    ...{ checkpoint, rows, folder, threads },
    onProgress: ({ layersDone, layers }) => onProgress((layersDone / layers) * CALIBRATED),
  });
  return { statistics, folder };
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
      calibrationFolder: task.calibrationFolder,
      threads: task.threads,
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
