import { writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { messageOf, reasonOf } from '../errors.ts';
import {
  type CompressorReport,
  type CompressorTask,
  compressorTaskSchema,
} from './compressor.messages.ts';
import { deltaTask } from './delta.task.ts';
import { assembleTask, encodeTask, planTask } from './encoding.tasks.ts';
import { peakMemoryBytes } from './process.memory.ts';
import { checkTask } from './source.checking.ts';
import { SourceError } from './source.error.ts';
import { evaluateTask } from './variant.evaluation.ts';

/** Above the API's, below the least: compression gives way, but still gets its turn. */
const NICENESS = 10;
/** When memory runs out the kernel shall take this process, not the controller. */
const OOM_SCORE_ADJUSTMENT = 500;
const MESSAGE_LENGTH = 1800;

/** Errors that may be gone the next time; every other typed error is there to stay. */
const PASSING_REASONS = new Set([
  'BadPart',
  'BadPlan',
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

function sendProgress(fraction: number): void {
  process.send?.({ report: 'progress', fraction } satisfies CompressorReport);
}

async function perform(task: CompressorTask): Promise<CompressorReport> {
  switch (task.task) {
    case 'check':
      await checkTask(task);
      break;
    case 'plan':
      await planTask(task, sendProgress);
      break;
    case 'encode':
      await encodeTask(task, sendProgress);
      break;
    case 'assemble': {
      const result = await assembleTask(task, sendProgress);
      return { report: 'assembled', peakMemoryBytes: await peakMemoryBytes(), result };
    }
    case 'delta': {
      const result = await deltaTask(task, sendProgress);
      return { report: 'delta', peakMemoryBytes: await peakMemoryBytes(), result };
    }
    case 'evaluate': {
      const result = await evaluateTask(task, sendProgress);
      return { report: 'evaluated', peakMemoryBytes: await peakMemoryBytes(), result };
    }
  }
  return { report: 'done', peakMemoryBytes: await peakMemoryBytes() };
}

/** A plain write has no reason of ours; a full disk is told as the artifact's writer tells it. */
function fullDisk(error: unknown): CompressorReport | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return undefined;
  const message =
    `the disk of ENTROFLEET_BLOB_DIR or ENTROFLEET_DATA_DIR is full (${messageOf(error)}); ` +
    'free some space';
  return { report: 'failed', permanent: false, reason: 'DiskFull', message, pointer: '' };
}

function failed(error: unknown): CompressorReport {
  const full = fullDisk(error);
  if (full !== undefined) return full;
  const reason = reasonOf(error);
  return {
    report: 'failed',
    permanent: reason !== undefined && !PASSING_REASONS.has(reason),
    reason: reason ?? 'CompressorFailed',
    message: messageOf(error).slice(0, MESSAGE_LENGTH),
    pointer: error instanceof SourceError ? error.pointer : '/spec/source/path',
  };
}

process.title = 'entrofleet-compressor';
// Threads inherit the priority of the one that starts them, so this comes before any work.
setPriority(NICENESS);
await writeFile('/proc/self/oom_score_adj', String(OOM_SCORE_ADJUSTMENT)).catch(() => undefined);
// Nobody waits for the result of an orphan.
process.on('disconnect', () => process.exit());
process.once('message', async (message) => {
  process.send?.(await perform(compressorTaskSchema.parse(message)).catch(failed));
});
