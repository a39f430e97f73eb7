import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Retryable } from '../errors.ts';
import {
  type CompressorReport,
  type CompressorTask,
  compressorReportSchema,
  type ReportOf,
} from './compressor.messages.ts';
import { SourceError } from './source.error.ts';

const CHILD = fileURLToPath(
  new URL(`./compressor.child${extname(import.meta.filename)}`, import.meta.url),
);
const STDERR_KEPT = 1500;

export interface CompressorRun {
  /** Kills the child. */
  readonly signal: AbortSignal;
  /** @param fraction of the task that is done, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Does one task in a child process of its own: a hostile file, a fault in native code or a lack of
 * memory takes down nothing else.
 * @returns the child's last report, which is of the kind `expected`.
 * @throws SourceError when the same would happen again; Retryable when the child died, was killed
 * by `signal`, or met a passing failure.
 */
export async function runCompressor<K extends CompressorReport['report']>(
  task: CompressorTask,
  expected: K,
  run: CompressorRun,
): Promise<ReportOf<K>> {
  const report = await runChild(task, run);
  if (isReport(report, expected)) return report;
  if (report.report !== 'failed') {
    throw new Retryable('CompressorFailed', `the compressor answered "${report.report}"`);
  }
  if (report.permanent) throw new SourceError(report);
  throw new Retryable(report.reason, report.message);
}

function isReport<K extends CompressorReport['report']>(
  report: CompressorReport,
  kind: K,
): report is ReportOf<K> {
  return report.report === kind;
}

/** @returns the child's last word. */
async function runChild(task: CompressorTask, run: CompressorRun): Promise<CompressorReport> {
  run.signal.throwIfAborted();
  // The child needs no environment, and so cannot leak the secrets in ours.
  const child = fork(CHILD, [], {
    execArgv: [],
    env: {},
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const kill = () => child.kill('SIGKILL');
  run.signal.addEventListener('abort', kill);
  try {
    return await lastReport(child, task, run);
  } finally {
    run.signal.removeEventListener('abort', kill);
    kill();
  }
}

function lastReport(
  child: ChildProcess,
  task: CompressorTask,
  run: CompressorRun,
): Promise<CompressorReport> {
  return new Promise((resolve, reject) => {
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_KEPT);
    });
    child.on('message', (message) => {
      const report = compressorReportSchema.safeParse(message);
      if (!report.success) {
        reject(new Retryable('CompressorFailed', `bad report: ${report.error.message}`));
      } else if (report.data.report === 'progress') {
        run.onProgress?.(report.data.fraction);
      } else {
        resolve(report.data);
      }
    });
    child.on('error', (cause) => {
      reject(new Retryable('CompressorNotStarted', cause.message, { cause }));
    });
    // `close` comes after the last message and the last of stderr.
    child.on('close', (code, signal) => {
      const how = signal === null ? `with code ${code}` : `by ${signal}`;
      const reason = run.signal.aborted ? 'Interrupted' : 'CompressorDied';
      const said = stderr.trim() === '' ? '' : `: ${stderr.trim()}`;
      reject(new Retryable(reason, `the compressor process was ended ${how}${said}`));
    });
    child.send(task, (cause) => {
      if (cause !== null) reject(new Retryable('CompressorNotStarted', cause.message, { cause }));
    });
  });
}
