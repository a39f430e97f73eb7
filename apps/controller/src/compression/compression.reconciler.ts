import { join } from 'node:path';
import type { EncodingPlan } from '@entrofleet/artifact';
import type { Model, VariantStatus } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { CONFIG, type Config } from '../config.ts';
import { Retryable, Stalled } from '../errors.ts';
import { ModelStore } from '../models/model.store.ts';
import { groupKey, parseCompressionKey, type VariantKey } from '../models/variant.key.ts';
import { variantWork } from '../models/variant.plan.ts';
import { DeltaWishes } from './delta.wishes.ts';
import { StepRunner } from './step.runner.ts';
import { type Attempt, VariantRecord, type VariantResult } from './variant.record.ts';
import { WorkFolder } from './work.folder.ts';

/**
 * Brings one variant to Ready or Failed, in steps: plan, encode every tensor group, assemble,
 * evaluate. Everything is re-read, from the record and the work folder, so it may be called for any
 * variant or group at any time, and a step that was done is not done again; the same source and
 * recipe give the same artifact whoever encodes which group.
 */
@Injectable()
export class CompressionReconciler {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(VariantRecord) private readonly record: VariantRecord,
    @Inject(StepRunner) private readonly steps: StepRunner,
    @Inject(DeltaWishes) private readonly wishes: DeltaWishes,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * @param text key of a variant or of one group of it.
   * @returns keys of groups that must be encoded before the variant can go on.
   * @throws Stalled once the variant is Failed; anything else is worth another attempt.
   */
  async reconcile(text: string, signal: AbortSignal): Promise<readonly string[]> {
    const parsed = parseCompressionKey(text);
    if (parsed === undefined) throw new Stalled('BadKey', `"${text}" is no model/variant`);
    const { key, group } = parsed;
    const model = await this.models.find(key.model);
    const work = model && variantWork(model.spec, key.variant);
    if (model === undefined || work === undefined) return [];
    if (!(await this.needsWork(model, key))) return [];
    const { maxPerplexityRatio } = model.spec.quality;
    const attempt = { key, work, maxPerplexityRatio, superseded: new AbortController() };
    const folder = await WorkFolder.of(this.config.workFolder, key, work);
    const status = statusOf(model, key);
    if (group === undefined) {
      // A person who retries a failed variant gives every step all its attempts back.
      if (status?.attempts === 0) await folder.forgetStarts();
      return this.advance(attempt, folder, signal);
    }
    // A group left over from before a retry: the variant's own job has to begin first.
    if (status?.phase === 'Pending') return [];
    await this.encodeGroup(attempt, { folder, group, signal });
    return [];
  }

  /** False when the variant is Failed, or Ready with its row and file really there. */
  async needsWork(model: Model, key: VariantKey): Promise<boolean> {
    const status = statusOf(model, key);
    if (status === undefined || status.phase === 'Failed') return false;
    if (status.phase !== 'Ready' || status.artifactId === null) return true;
    const artifact = await this.artifacts.find({ ...key, id: status.artifactId });
    // An evaluation stands behind the payload.
    const sizeBytes = (await this.blobs.sizeBytes(status.artifactId)) ?? 0;
    return artifact === undefined || sizeBytes < artifact.ref.sizeBytes;
  }

  private async advance(
    attempt: Attempt,
    folder: WorkFolder,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const held = await folder.readPlan();
    if (!(await this.begin(attempt, held === undefined))) return [];
    const plan = held ?? (await this.plan(attempt, folder, signal));
    if (plan === undefined) return [];
    const missing = await folder.missingGroups(plan);
    if (missing.length > 0) return missing.map((group) => groupKey(attempt.key, group));
    const draftPath = this.blobs.newDraftPath();
    try {
      const result = await this.complete(attempt, { plan, folder, draftPath, signal });
      if (result === undefined) return [];
      await this.record.finish(attempt, result);
      await this.wishes.enqueueOpen();
    } finally {
      await this.blobs.removeDraft(draftPath);
    }
    await folder.remove();
    return [];
  }

  /** @returns false when nobody wants the work any more. */
  private async begin(attempt: Attempt, isNew: boolean): Promise<boolean> {
    const begun = await this.record.change(attempt, (variant) => ({
      phase: 'Compressing',
      progress: isNew ? 0 : variant.progress,
      attempts: Math.max(1, variant.attempts),
    }));
    if (begun === undefined) return false;
    if (isNew) this.log.info('compressing', { ...attempt.key, attempt: begun.attempts });
    return true;
  }

  private async plan(
    attempt: Attempt,
    folder: WorkFolder,
    signal: AbortSignal,
  ): Promise<EncodingPlan | undefined> {
    const done = await this.steps.run(attempt, {
      step: 'plan',
      name: 'plan',
      task: {
        task: 'plan',
        sourcePath: attempt.work.sourcePath,
        recipe: attempt.work.recipe,
        layout: attempt.work.layout,
        calibration: attempt.work.calibration,
        calibrationFolder: folder.calibrationFolder,
        groupSizeBytes: this.config.compressionGroupBytes,
        threads: this.config.compressionThreads,
        planPath: folder.planPath,
      },
      expected: 'done',
      folder,
      signal,
    });
    if (done === undefined) return undefined;
    const plan = await folder.readPlan();
    if (plan === undefined) throw new Retryable('BadPlan', 'the plan was removed; planning again');
    const { peakMemoryBytes } = plan;
    this.log.info('planned', { ...attempt.key, groups: plan.groups.length, peakMemoryBytes });
    return plan;
  }

  private async encodeGroup(
    attempt: Attempt,
    of: { folder: WorkFolder; group: number; signal: AbortSignal },
  ): Promise<void> {
    const { folder, group, signal } = of;
    const plan = await folder.readPlan();
    const size = plan?.groups[group]?.sizeBytes;
    // Without a plan that has this group, the variant's own job sees to it.
    if (plan === undefined || size === undefined || (await folder.hasPart(plan, group))) return;
    const total = plan.groups.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await this.steps.run(attempt, {
      step: 'encode',
      name: `encode-${group}`,
      task: {
        task: 'encode',
        sourcePath: attempt.work.sourcePath,
        threads: this.config.compressionThreads,
        planPath: folder.planPath,
        group,
        partPath: folder.partPath(group),
        calibrationFolder: folder.calibrationFolder,
      },
      expected: 'done',
      folder,
      signal,
      shareDone: async (fraction) =>
        Math.min(1, (await folder.encodedShare(plan)) + (fraction * size) / total),
    });
  }

  /** Assembles and evaluates. */
  private async complete(
    attempt: Attempt,
    of: { plan: EncodingPlan; folder: WorkFolder; draftPath: string; signal: AbortSignal },
  ): Promise<VariantResult | undefined> {
    const { plan, folder, draftPath, signal } = of;
    const { sourcePath, evaluation } = attempt.work;
    const partPaths = [...plan.groups.keys()].map((group) => folder.partPath(group));
    const assembled = await this.steps.run(attempt, {
      step: 'assemble',
      name: 'assemble',
      task: { task: 'assemble', sourcePath, planPath: folder.planPath, partPaths, draftPath },
      expected: 'assembled',
      folder,
      signal,
    });
    if (assembled === undefined) return undefined;
    const evaluated = await this.steps.run(attempt, {
      step: 'evaluate',
      name: 'evaluate',
      task: {
        task: 'evaluate',
        sourcePath,
        evaluation,
        draftPath,
        evaluationFolder: join(this.config.dataFolder, 'evaluations'),
        threads: this.config.compressionThreads,
      },
      expected: 'evaluated',
      folder,
      signal,
    });
    if (evaluated === undefined) return undefined;
    return { draftPath, assembled: assembled.result, evaluated: evaluated.result };
  }
}

function statusOf(model: Model, key: VariantKey): VariantStatus | undefined {
  return model.status.variants.find((variant) => variant.name === key.variant);
}
