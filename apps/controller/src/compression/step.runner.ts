import { Inject, Injectable } from '@nestjs/common';
import { Log } from '../adapters/log.ts';
import { messageOf, reasonOf, Stalled } from '../errors.ts';
import { type CompressionStep, variantProgress } from './compression.progress.ts';
import type { CompressorReport, CompressorTask, ReportOf } from './compressor.messages.ts';
import { runCompressor } from './compressor.process.ts';
import { ProgressThrottle } from './progress.throttle.ts';
import { type Attempt, VariantRecord } from './variant.record.ts';
import type { WorkFolder } from './work.folder.ts';

/** A step that began so often has failed; a person can retry it. */
const ATTEMPTS_MAX = 5;
const PROGRESS_INTERVAL_MS = 500;
const MESSAGE_LENGTH = 1500;

/** One step in one child process, and what of it the record shows. */
export interface StepRun<K extends CompressorReport['report']> {
  readonly step: CompressionStep;
  /** Tells the step from others of the same variant, e.g. `encode-3`. */
  readonly name: string;
  readonly task: CompressorTask;
  readonly expected: K;
  readonly folder: WorkFolder;
  readonly signal: AbortSignal;
  /** Share of the step that is done in all processes together. Default: what the child says. */
  readonly shareDone?: (fraction: number) => Promise<number>;
}

/** Runs the steps of compression in child processes, and records their progress and failures. */
@Injectable()
export class StepRunner {
  constructor(
    @Inject(VariantRecord) private readonly record: VariantRecord,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * @returns the child's report, or `undefined` when nobody wants the work any more.
   * @throws Stalled once the variant is Failed; anything else is worth another attempt.
   */
  async run<K extends CompressorReport['report']>(
    attempt: Attempt,
    of: StepRun<K>,
  ): Promise<ReportOf<K> | undefined> {
    const { superseded } = attempt;
    const note = await of.folder.noteStart(of.name);
    try {
      const started = await this.record.change(attempt, (variant) => ({
        phase: of.step === 'evaluate' ? 'Evaluating' : 'Compressing',
        progress: Math.max(variant.progress, variantProgress(of.step, 0)),
        // A 0 tells the variant's own job that a person lets it begin anew.
        attempts: variant.attempts === 0 ? 0 : Math.max(variant.attempts, note.starts),
        // Other groups may begin while one has failed; its message stays until all are done.
        message: of.step === 'encode' ? variant.message : '',
      }));
      if (started === undefined) {
        await note.takeBack();
        return undefined;
      }
      if (note.starts > ATTEMPTS_MAX) throw neverFinished(of.name);
      this.log.debug('step begun', { ...attempt.key, step: of.name, starts: note.starts });
      const report = await this.runChild(attempt, of);
      await of.folder.forgetStarts(of.name);
      return report;
    } catch (error) {
      if (of.signal.aborted || superseded.signal.aborted) {
        // The process stops, or the work has lapsed; that is no fault of the step.
        await note.takeBack();
        if (superseded.signal.aborted) return undefined;
        throw error;
      }
      if (reasonOf(error) === 'DiskFull') {
        await note.takeBack();
        throw await this.waitForRoom(attempt, { error, step: of.name });
      }
      throw await this.fail(attempt, { error, step: of.name, starts: note.starts });
    }
  }

  /** A full disk is the machine's trouble, not the work's: it is tried again until there is room. */
  private async waitForRoom(
    attempt: Attempt,
    of: { error: unknown; step: string },
  ): Promise<unknown> {
    const message = `${of.step}: waiting for room: ${messageOf(of.error).slice(0, MESSAGE_LENGTH)}`;
    let isNews = false;
    await this.record.change(attempt, (variant) => {
      isNews = variant.message !== message;
      return { message };
    });
    if (isNews) {
      const text = `variant ${attempt.key.variant}: ${message}`;
      const event = { type: 'Warning', reason: 'DiskFull', message: text } as const;
      await this.record.event(attempt.key.model, event);
    }
    return of.error;
  }

  private async runChild<K extends CompressorReport['report']>(
    attempt: Attempt,
    of: StepRun<K>,
  ): Promise<ReportOf<K>> {
    const { step, name, task, expected, shareDone } = of;
    const throttle = new ProgressThrottle<number>({
      intervalMs: PROGRESS_INTERVAL_MS,
      pass: async (fraction) => {
        // Progress is a courtesy; a database that is away for a moment must not cost the work.
        try {
          const share = (await shareDone?.(fraction)) ?? fraction;
          const progress = variantProgress(step, share);
          await this.record.change(attempt, (variant) => ({
            progress: Math.max(variant.progress, progress),
          }));
        } catch (error) {
          this.log.debug('progress not saved', { error: messageOf(error) });
        }
      },
    });
    try {
      const signal = AbortSignal.any([of.signal, attempt.superseded.signal]);
      const onProgress = (fraction: number) => throttle.set(fraction);
      const report = await runCompressor(task, expected, { signal, onProgress });
      this.log.debug('step done', { ...attempt.key, step: name, ...memoryOf(report) });
      return report;
    } finally {
      await throttle.close();
    }
  }

  /** @returns the error to end the job with. */
  private async fail(
    attempt: Attempt,
    of: { error: unknown; step: string; starts: number },
  ): Promise<unknown> {
    const { error, step, starts } = of;
    const detail = messageOf(error).slice(0, MESSAGE_LENGTH);
    const isFinal = error instanceof Stalled || starts >= ATTEMPTS_MAX;
    const failed = await this.record.change(attempt, () => {
      if (isFinal) return { phase: 'Failed', progress: 0, message: detail };
      const retry = `${step}: attempt ${starts} of ${ATTEMPTS_MAX} failed, trying again: ${detail}`;
      return { message: retry };
    });
    if (failed === undefined) return error;
    await this.record.event(attempt.key.model, {
      type: 'Warning',
      reason: reasonOf(error) ?? 'CompressionFailed',
      message: `variant ${attempt.key.variant}: ${failed.message}`,
    });
    if (!isFinal || error instanceof Stalled) return error;
    return new Stalled('TooManyAttempts', detail, { cause: error });
  }
}

function neverFinished(step: string): Stalled {
  return new Stalled(
    'TooManyAttempts',
    `step ${step} was begun ${ATTEMPTS_MAX} times and ended its worker each time; ` +
      'give workers more memory, then retry',
  );
}

function memoryOf(report: CompressorReport): { peakMemoryBytes?: number } {
  return 'peakMemoryBytes' in report ? { peakMemoryBytes: report.peakMemoryBytes } : {};
}
