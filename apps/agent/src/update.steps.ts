import type { Measurement, Report, Target } from '@entrofleet/protocol';
import type { DeltaReport } from './delta.download.ts';
import type { DownloadProgress } from './download.ts';
import type { HeldModel } from './serve/served.model.ts';

/** What a self-test has found out about a model. */
export interface SelfTestResult {
  readonly measurement: Measurement;
  readonly sample: Report['sample'];
}

export interface StepContext {
  /** Aborted when the update is abandoned; the step then ends without a result. */
  readonly signal: AbortSignal;
}

/**
 * The long steps of an update. Each throws an error with a `reason` when it fails; none touches
 * the model that serves.
 */
export interface UpdateSteps<M extends HeldModel> {
  /**
   * Fetches what is lacking, until the artifact is complete on disk. When the disk is full,
   * artifacts other than `keep` are deleted first. With `loadAhead`, what has come is decoded
   * meanwhile, for {@link load} to take over.
   */
  download(target: Target, context: DownloadContext): Promise<void>;
  /** @returns what is damaged, for people; `null` when every chunk is right. */
  verify(target: Target, context: StepContext): Promise<string | null>;
  /** Decodes an artifact beside the model that serves. */
  load(target: Target, context: StepContext): Promise<M>;
  /** Decodes the artifact of a model that has served here before, after a start. */
  restore(target: Target, context: StepContext): Promise<M>;
  /** @throws an error with reason `FingerprintMismatch` when the model computes otherwise. */
  test(model: M, context: TestContext): Promise<SelfTestResult>;
  /** Lets go of what was decoded ahead; resolves when its memory is free. */
  forgetAhead(): Promise<void>;
  /** Deletes stored artifacts other than these. */
  collect(keep: readonly string[]): Promise<void>;
}

export interface DownloadContext extends StepContext {
  readonly keep: readonly string[];
  readonly loadAhead: boolean;
  readonly onProgress: (progress: DownloadProgress) => void;
  /** A delta was applied, or why not. */
  readonly onDelta: (report: DeltaReport) => void;
}

export interface TestContext extends StepContext {
  readonly kind: Measurement['kind'];
}
