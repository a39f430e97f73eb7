import { readCalibrationTokens } from './calibration.tokens.ts';
import type { CheckTask } from './compressor.messages.ts';
import { evaluationFile, readEvaluationTokens } from './evaluation.tokens.ts';
import { openSource } from './source.opening.ts';

/**
 * What can be known about a source without reading its weights.
 * @throws CheckpointError, EngineError, SourceError
 */
export async function checkTask(task: CheckTask): Promise<void> {
  const { checkpoint, config } = await openSource(task.sourcePath, { threads: 1 });
  try {
    for (const calibration of task.calibrations) await readCalibrationTokens(calibration, config);
    const tokensFile = await evaluationFile(task);
    if (tokensFile === undefined) return;
    await readEvaluationTokens(tokensFile, { evaluation: task.evaluation, config });
  } finally {
    await checkpoint.close();
  }
}
