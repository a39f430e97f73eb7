import { writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { messageOf, reasonOf } from '../errors.ts';
import {
  type CompressorReport,
  type CompressorTask,
  compressorTaskSchema,
} from './compressor.messages.ts';
import { checkTask } from './source.checking.ts';
import { SourceError } from './source.error.ts';
import { compressVariant } from './variant.compression.ts';

/** Above the API's, below the least: compression gives way, but still gets its turn. */
const NICENESS = 10;
/** When memory runs out the kernel shall take this process, not the controller. */
const OOM_SCORE_ADJUSTMENT = 500;
const MESSAGE_LENGTH = 1800;

/** Errors that may be gone the next time; every other typed error is there to stay. */
const PASSING_REASONS = new Set([
  'Cancelled',
  'DiskFull',
  'HashMismatch',
  'NativeFailure',
  'NativeUnavailable',
  'OutOfMemory',
  'ReadFailed',
  'SourceChanged',
  'Truncated',
  'WriteFailed',
]);

async function perform(task: CompressorTask): Promise<CompressorReport> {
  try {
    if (task.task === 'check') {
      await checkTask(task);
      return { report: 'checked' };
    }
    const result = await compressVariant(task, (progress) => {
      process.send?.({ report: 'progress', ...progress } satisfies CompressorReport);
    });
    return { report: 'compressed', result };
  } catch (error) {
    const reason = reasonOf(error);
    return {
      report: 'failed',
      permanent: reason !== undefined && !PASSING_REASONS.has(reason),
      reason: reason ?? 'CompressorFailed',
      message: messageOf(error).slice(0, MESSAGE_LENGTH),
      pointer: error instanceof SourceError ? error.pointer : '/spec/source/path',
    };
  }
}

process.title = 'entrofleet-compressor';
// Threads inherit the priority of the one that starts them, so this comes before any work.
setPriority(NICENESS);
await writeFile('/proc/self/oom_score_adj', String(OOM_SCORE_ADJUSTMENT)).catch(() => undefined);
// Nobody waits for the result of an orphan.
process.on('disconnect', () => process.exit());
process.once('message', async (message) => {
  process.send?.(await perform(compressorTaskSchema.parse(message)));
});
