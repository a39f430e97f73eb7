/**
 * Runs vitest and ends its output with one line, `N passed, N failed, N skipped`, taken from
 * vitest's own JSON report. Arguments are handed to vitest, e.g. paths of test files.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const REPORT = resolve(ROOT, '.cache/test-report.json');

interface JsonReport {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/** A file that fails outside of its tests, e.g. on import, counts as one failed test. */
function counts(report: JsonReport): { passed: number; failed: number; skipped: number } {
  const brokenFiles = report.testResults.filter(
    (file) =>
      file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + brokenFiles,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

async function main(): Promise<number> {
  await mkdir(dirname(REPORT), { recursive: true });
  await rm(REPORT, { force: true });
  const vitest = spawn(
    process.execPath,
    [
      resolve(ROOT, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${REPORT}`,
      ...process.argv.slice(2),
    ],
    { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  // Ctrl-C reaches vitest by itself; this process waits for its last words.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => vitest.kill('SIGTERM'));
  const [code] = await once(vitest, 'exit');
  const text = await readFile(REPORT, 'utf8').catch(() => undefined);
  if (text === undefined) {
    process.stdout.write('0 passed, 1 failed, 0 skipped\n');
    return 1;
  }
  const report: JsonReport = JSON.parse(text);
  const { passed, failed, skipped } = counts(report);
  const isGood = code === 0 && report.success && failed === 0 && passed > 0;
  // An error outside of any test leaves no mark in the counts, and must not look like success.
  const shown = isGood ? failed : Math.max(failed, 1);
  process.stdout.write(`\n${passed} passed, ${shown} failed, ${skipped} skipped\n`);
  return isGood ? 0 : 1;
}

process.exitCode = await main();
