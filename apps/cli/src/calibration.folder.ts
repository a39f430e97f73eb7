import { mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Calibration, Checkpoint } from '@entrofleet/artifact';
import { gatherStatistics } from '@entrofleet/calibration';
import { parseModelConfig } from '@entrofleet/engine';
import { CliError } from './cli.error.ts';
import type { ProgressLine } from './progress.line.ts';
import { readTokenRows } from './token.file.ts';

/**
 * Gathers the statistics of a token file in a folder beside the output, hands them to `use`, and
 * removes the folder whatever happens.
 */
export async function withCalibration<T>(
  calibrating: {
    readonly checkpoint: Checkpoint;
    readonly tokensPath: string;
    /** Rows at the beginning of the file to leave out. */
    readonly skipRows: number;
    readonly output: string;
    readonly threads: number;
    readonly signal: AbortSignal;
    readonly progress: ProgressLine;
  },
  use: (calibration: Calibration) => Promise<T>,
): Promise<T> {
  const { checkpoint, tokensPath, skipRows, output, threads, signal, progress } = calibrating;
  const read = await readTokenRows(tokensPath, parseModelConfig(checkpoint.config));
  const rows = read.rows.slice(skipRows);
  if (rows.length === 0) {
    throw new CliError('BadInput', `${tokensPath} has only ${read.rows.length} rows`);
  }
  const folder = await mkdtemp(join(dirname(output), `.${basename(output)}.calibration-`));
  const totalBytes = checkpoint.tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  try {
    const statistics = await gatherStatistics({
      ...{ checkpoint, rows, folder, threads, signal },
      onProgress: ({ layersDone, layers }) => {
        const doneBytes = (totalBytes * layersDone) / layers;
        progress.update({ label: 'calibrate', doneBytes, totalBytes });
      },
    });
    return await use({ statistics, folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
