import type { Artifact, Model, QualityReport, VariantStatus } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { NotFound } from '../errors.ts';
import { EventStore } from '../events/event.store.ts';
import { ModelStore } from '../models/model.store.ts';
import type { VariantKey } from '../models/variant.key.ts';
import {
  boundMessage,
  isSameWork,
  type VariantWork,
  variantWork,
  withVariant,
} from '../models/variant.plan.ts';
import type { Assembled, VariantEvaluation } from './compressor.messages.ts';

export type VariantChange = Partial<Omit<VariantStatus, 'name' | 'recipe'>>;

/** Work on one variant, of this process and at this moment. */
export interface Attempt {
  readonly key: VariantKey;
  readonly work: VariantWork;
  readonly maxPerplexityRatio: number;
  /** Aborted when the model is gone, wants something else, or has failed elsewhere. */
  readonly superseded: AbortController;
}

export interface VariantResult {
  readonly draftPath: string;
  readonly assembled: Assembled;
  readonly evaluated: VariantEvaluation;
}

/** Writes what becomes of a variant into the record. */
@Injectable()
export class VariantRecord {
  constructor(
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * Changes the variant's status while the model still wants this work and it has not failed.
   * @returns the variant afterwards, or `undefined` when the work is superseded.
   */
  async change(
    attempt: Attempt,
    to: (variant: VariantStatus) => VariantChange,
  ): Promise<VariantStatus | undefined> {
    const { key, work, superseded } = attempt;
    try {
      let wanted = false;
      const model = await this.models.updateStatus(key.model, (current) => {
        const variant = current.status.variants.find((v) => v.name === key.variant);
        wanted =
          variant !== undefined &&
          variant.phase !== 'Failed' &&
          isSameWork(variantWork(current.spec, key.variant), work);
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

  /** The file first, then its row, then the status that refers to both. */
  async finish(attempt: Attempt, result: VariantResult): Promise<void> {
    const { model, variant } = attempt.key;
    const { ref, totals, tensors } = result.assembled;
    const { quality: measured, ...evidence } = result.evaluated;
    const withinBound = measured.perplexityRatio <= attempt.maxPerplexityRatio;
    const summary = { sizeBytes: ref.sizeBytes, ...totals, ...measured, withinBound };
    const quality: QualityReport = { ...summary, tensors };
    await this.blobs.adopt(result.draftPath, ref.id);
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
    await this.event(model, {
      type: 'Normal',
      reason: 'VariantReady',
      message: `variant ${variant}: ${bits} bits per weight, perplexity ${perplexity}`,
    });
    if (ready.quality?.withinBound === false) await this.warnOfBound(attempt.key);
  }

  event(
    name: string,
    event: { type: 'Normal' | 'Warning'; reason: string; message: string },
  ): Promise<void> {
    return this.events.record({ object: { kind: 'Model', name }, ...event });
  }

  private async warnOfBound(key: VariantKey): Promise<void> {
    const model = await this.models.get(key.model);
    const variant = model.status.variants.find((v) => v.name === key.variant);
    if (variant?.quality?.withinBound !== false) return;
    const message = `${boundMessage(variant, model.spec)}; rollouts refuse it unless forced`;
    await this.event(key.model, { type: 'Warning', reason: 'PerplexityBeyondBound', message });
  }
}

/** The bound may have been changed while the variant was measured. */
function judged(change: VariantChange, model: Model): VariantChange {
  if (change.quality === undefined || change.quality === null) return change;
  const withinBound = change.quality.perplexityRatio <= model.spec.quality.maxPerplexityRatio;
  return { ...change, quality: { ...change.quality, withinBound } };
}
