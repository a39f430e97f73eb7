import { join } from 'node:path';
import type { Artifact, Model, VariantStatus } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { CONFIG, type Config } from '../config.ts';
import { messageOf, NotFound, reasonOf, Stalled } from '../errors.ts';
import { EventStore } from '../events/event.store.ts';
import { ModelStore } from '../models/model.store.ts';
import { parseVariantKey, type VariantKey } from '../models/variant.key.ts';
import {
  boundMessage,
  isSameWork,
  type VariantWork,
  variantWork,
  withVariant,
} from '../models/variant.plan.ts';
import type { Compressed, CompressorProgress } from './compressor.messages.ts';
import { runCompression } from './compressor.process.ts';
import { ProgressThrottle } from './progress.throttle.ts';

/** A variant that failed so often has failed; a person can retry it. */
const ATTEMPTS_MAX = 5;
const PROGRESS_INTERVAL_MS = 500;
const MESSAGE_LENGTH = 1500;

type VariantChange = Partial<Omit<VariantStatus, 'name' | 'recipe'>>;

/** One try to make one variant. */
interface Attempt {
  readonly key: VariantKey;
  readonly work: VariantWork;
  readonly maxPerplexityRatio: number;
  /** Aborted when the model is gone or wants something else. */
  readonly superseded: AbortController;
}

/**
 * Brings one variant to Ready or Failed. Everything is re-read, so it may be called for any
 * variant at any time; the same source and recipe give the same artifact again.
 */
@Injectable()
export class CompressionReconciler {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** @throws Stalled once the variant is Failed; anything else is worth another attempt. */
  async reconcile(text: string, signal: AbortSignal): Promise<void> {
    const key = parseVariantKey(text);
    if (key === undefined) throw new Stalled('BadKey', `"${text}" is no model/variant`);
    const model = await this.models.find(key.model);
    const work = model && variantWork(model.spec, key.variant);
    if (model === undefined || work === undefined) return;
    if (!(await this.needsWork(model, key))) return;
    const { maxPerplexityRatio } = model.spec.quality;
    await this.attempt(
      { key, work, maxPerplexityRatio, superseded: new AbortController() },
      signal,
    );
  }

  /** False when the variant is Failed, or Ready with its row and file really there. */
  async needsWork(model: Model, key: VariantKey): Promise<boolean> {
    const status = model.status.variants.find((variant) => variant.name === key.variant);
    if (status === undefined || status.phase === 'Failed') return false;
    if (status.phase !== 'Ready' || status.artifactId === null) return true;
    const artifact = await this.artifacts.find({ ...key, id: status.artifactId });
    const sizeBytes = await this.blobs.sizeBytes(status.artifactId);
    return artifact === undefined || artifact.ref.sizeBytes !== sizeBytes;
  }

  private async attempt(attempt: Attempt, signal: AbortSignal): Promise<void> {
    const started = await this.change(attempt, (variant) => ({
      phase: 'Compressing',
      progress: 0,
      message: '',
      attempts: variant.attempts + 1,
    }));
    if (started === undefined) return;
    const { model, variant } = attempt.key;
    this.log.info('compressing', { model, variant, attempt: started.attempts });
    const draftPath = this.blobs.newDraftPath();
    try {
      const result = await this.compress(attempt, draftPath, signal);
      await this.finish(attempt, result, draftPath);
    } catch (error) {
      if (attempt.superseded.signal.aborted) return;
      await this.fail(attempt, error, signal);
    } finally {
      await this.blobs.removeDraft(draftPath);
    }
  }

  private async compress(
    attempt: Attempt,
    draftPath: string,
    signal: AbortSignal,
  ): Promise<Compressed> {
    const throttle = new ProgressThrottle<CompressorProgress>({
      intervalMs: PROGRESS_INTERVAL_MS,
      pass: async ({ phase, progress }) => {
        // Progress is a courtesy; a database that is away for a moment must not cost the work.
        await this.change(attempt, () => ({ phase, progress })).catch((error: unknown) =>
          this.log.debug('progress not saved', { error: messageOf(error) }),
        );
      },
    });
    try {
      return await runCompression(
        {
          task: 'compress',
          sourcePath: attempt.work.sourcePath,
          evaluation: attempt.work.evaluation,
          recipe: attempt.work.recipe,
          maxPerplexityRatio: attempt.maxPerplexityRatio,
          threads: this.config.compressionThreads,
          draftPath,
          evaluationFolder: join(this.config.dataFolder, 'evaluations'),
        },
        {
          signal: AbortSignal.any([signal, attempt.superseded.signal]),
          onProgress: (progress) => throttle.set(progress),
        },
      );
    } finally {
      await throttle.close();
    }
  }

  /** The file first, then its row, then the status that refers to both. */
  private async finish(attempt: Attempt, result: Compressed, draftPath: string): Promise<void> {
    const { model, variant } = attempt.key;
    const { ref, quality, ...evidence } = result;
    await this.blobs.adopt(draftPath, ref.id);
    const artifact: Artifact = {
      id: ref.id,
      model,
      variant,
      recipe: attempt.work.recipe,
      createdAt: this.clock.instant(),
      ref,
      quality,
      ...evidence,
    };
    await this.artifacts.save(artifact);
    const { tensors, ...summary } = quality;
    const ready = await this.change(attempt, () => ({
      phase: 'Ready',
      progress: 1,
      message: '',
      artifactId: ref.id,
      quality: summary,
    }));
    if (ready === undefined) return;
    this.log.info('variant ready', { model, variant, id: ref.id, tensors: tensors.length });
    const bits = quality.bitsPerWeight.toFixed(3);
    const perplexity = quality.perplexity.toFixed(3);
    await this.record(model, {
      type: 'Normal',
      reason: 'VariantReady',
      message: `variant ${variant}: ${bits} bits per weight, perplexity ${perplexity}`,
    });
    if (ready.quality?.withinBound === false) await this.warnOfBound(attempt.key);
  }

  private async warnOfBound(key: VariantKey): Promise<void> {
    const model = await this.models.get(key.model);
    const variant = model.status.variants.find((v) => v.name === key.variant);
    if (variant?.quality?.withinBound !== false) return;
    const message = `${boundMessage(variant, model.spec)}; rollouts refuse it unless forced`;
    await this.record(key.model, { type: 'Warning', reason: 'PerplexityBeyondBound', message });
  }

  private async fail(attempt: Attempt, error: unknown, signal: AbortSignal): Promise<void> {
    const detail = messageOf(error).slice(0, MESSAGE_LENGTH);
    if (signal.aborted) {
      // The process stops; that is no fault of the variant.
      await this.change(attempt, (variant) => ({
        phase: 'Pending',
        progress: 0,
        attempts: Math.max(0, variant.attempts - 1),
      }));
      throw error;
    }
    const failed = await this.change(attempt, (variant) => {
      const final = error instanceof Stalled || variant.attempts >= ATTEMPTS_MAX;
      const retry = `attempt ${variant.attempts} of ${ATTEMPTS_MAX} failed, trying again: ${detail}`;
      return { phase: final ? 'Failed' : 'Pending', progress: 0, message: final ? detail : retry };
    });
    if (failed === undefined) return;
    const final = failed.phase === 'Failed';
    await this.record(attempt.key.model, {
      type: 'Warning',
      reason: reasonOf(error) ?? 'CompressionFailed',
      message: `variant ${attempt.key.variant}: ${failed.message}`,
    });
    if (!final || error instanceof Stalled) throw error;
    throw new Stalled('TooManyAttempts', detail, { cause: error });
  }

  /**
   * Changes the variant's status while the model still wants this work.
   * @returns the variant afterwards, or `undefined` when the work is superseded.
   */
  private async change(
    attempt: Attempt,
    to: (variant: VariantStatus) => VariantChange,
  ): Promise<VariantStatus | undefined> {
    const { key, work, superseded } = attempt;
    try {
      let wanted = false;
      const model = await this.models.updateStatus(key.model, (current) => {
        const variant = current.status.variants.find((v) => v.name === key.variant);
        wanted = variant !== undefined && isSameWork(variantWork(current.spec, key.variant), work);
        if (variant === undefined || !wanted) return undefined;
        const change = judged(to(variant), current);
        return withVariant(current, { name: key.variant, now: this.clock.instant(), to: change });
      });
      if (wanted) return model.status.variants.find((v) => v.name === key.variant);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
    }
    superseded.abort();
    return undefined;
  }

  private record(
    name: string,
    event: { type: 'Normal' | 'Warning'; reason: string; message: string },
  ): Promise<void> {
    return this.events.record({ object: { kind: 'Model', name }, ...event });
  }
}

/** The bound may have been changed while the variant was measured. */
function judged(change: VariantChange, model: Model): VariantChange {
  if (change.quality === undefined || change.quality === null) return change;
  const withinBound = change.quality.perplexityRatio <= model.spec.quality.maxPerplexityRatio;
  return { ...change, quality: { ...change.quality, withinBound } };
}
