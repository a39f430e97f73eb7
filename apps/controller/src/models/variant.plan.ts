import {
  type Condition,
  type Model,
  type ModelSpec,
  type ModelStatus,
  type VariantSpec,
  type VariantStatus,
  withCondition,
} from '@entrofleet/protocol';

/** Everything that decides a variant's bytes and its measured quality. */
export interface VariantWork {
  readonly sourcePath: string;
  readonly recipe: string;
  readonly layout: VariantSpec['layout'];
  readonly calibration: VariantSpec['calibration'];
  readonly evaluation: ModelSpec['evaluation'];
}

/** What the spec wants of one variant, or `undefined` when it does not want it. */
export function variantWork(spec: ModelSpec, variant: string): VariantWork | undefined {
  const wanted = spec.variants.find((v) => v.name === variant);
  if (wanted === undefined) return undefined;
  const { recipe, layout, calibration } = wanted;
  const { source, evaluation } = spec;
  return { sourcePath: source.path, recipe, layout, calibration, evaluation };
}

export function isSameWork(a: VariantWork | undefined, b: VariantWork | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.sourcePath === b.sourcePath &&
    a.recipe === b.recipe &&
    a.layout === b.layout &&
    a.calibration?.tokensPath === b.calibration?.tokensPath &&
    a.calibration?.skipRows === b.calibration?.skipRows &&
    a.calibration?.rows === b.calibration?.rows &&
    a.evaluation.tokensPath === b.evaluation.tokensPath &&
    a.evaluation.rows === b.evaluation.rows &&
    a.evaluation.rowTokens === b.evaluation.rowTokens
  );
}

/**
 * The status with which a new spec starts: a variant whose work is unchanged keeps what it has,
 * judged by the new quality bound; every other one starts over.
 */
export function plannedStatus(
  next: { spec: ModelSpec; generation: number; now: string },
  previous: Pick<Model, 'spec' | 'status'> | undefined,
): ModelStatus {
  const variants = next.spec.variants.map((wanted) => {
    const held = previous?.status.variants.find((v) => v.name === wanted.name);
    const before = previous && variantWork(previous.spec, wanted.name);
    if (held === undefined || !isSameWork(before, variantWork(next.spec, wanted.name))) {
      return pendingVariant(wanted);
    }
    return judged(held, next.spec.quality.maxPerplexityRatio);
  });
  return withConditions(
    {
      observedGeneration: next.generation,
      variants,
      counts: countsOf(variants),
      conditions: previous?.status.conditions ?? [],
    },
    { spec: next.spec, now: next.now },
  );
}

function pendingVariant(variant: Pick<VariantSpec, 'name' | 'recipe'>): VariantStatus {
  return {
    name: variant.name,
    recipe: variant.recipe,
    phase: 'Pending',
    progress: 0,
    artifactId: null,
    quality: null,
    message: '',
    attempts: 0,
  };
}

function judged(variant: VariantStatus, maxPerplexityRatio: number): VariantStatus {
  if (variant.quality === null) return variant;
  const withinBound = variant.quality.perplexityRatio <= maxPerplexityRatio;
  return { ...variant, quality: { ...variant.quality, withinBound } };
}

/** The status with one variant changed and the conditions that follow. */
export function withVariant(
  model: Pick<Model, 'spec' | 'status'>,
  change: { name: string; now: string; to: Partial<Omit<VariantStatus, 'name' | 'recipe'>> },
): ModelStatus {
  const variants = model.status.variants.map((variant) =>
    variant.name === change.name ? { ...variant, ...change.to } : variant,
  );
  return withConditions({ ...model.status, variants }, { spec: model.spec, now: change.now });
}

/** Failed variants start over; the others stay. */
export function retriedStatus(model: Pick<Model, 'spec' | 'status'>, now: string): ModelStatus {
  const variants = model.status.variants.map((variant) =>
    variant.phase === 'Failed' ? pendingVariant(variant) : variant,
  );
  return withConditions({ ...model.status, variants }, { spec: model.spec, now });
}

function withConditions(status: ModelStatus, on: { spec: ModelSpec; now: string }): ModelStatus {
  const { observedGeneration } = status;
  const common = { now: on.now, observedGeneration };
  let { conditions } = status;
  conditions = withCondition(conditions, { ...readyCondition(status), ...common });
  conditions = withCondition(conditions, { ...boundCondition(status, on.spec), ...common });
  return { ...status, counts: countsOf(status.variants), conditions };
}

export function countsOf(variants: readonly VariantStatus[]): ModelStatus['counts'] {
  const count = (phase: VariantStatus['phase']) =>
    variants.filter((variant) => variant.phase === phase).length;
  return { variants: variants.length, ready: count('Ready'), failed: count('Failed') };
}

type Verdict = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function readyCondition({ variants }: ModelStatus): Verdict {
  const failed = variants.filter((variant) => variant.phase === 'Failed');
  if (failed.length > 0) {
    const message = failed.map((variant) => `${variant.name}: ${variant.message}`).join('; ');
    return { type: 'Ready', status: 'False', reason: 'VariantFailed', message };
  }
  const open = variants.filter((variant) => variant.phase !== 'Ready');
  if (open.length > 0) {
    const message = `waiting for ${open.map((variant) => variant.name).join(', ')}`;
    return { type: 'Ready', status: 'False', reason: 'InProgress', message };
  }
  return { type: 'Ready', status: 'True', reason: 'AllVariantsReady', message: '' };
}

function boundCondition({ variants }: ModelStatus, spec: ModelSpec): Verdict {
  const beyond = variants.filter((variant) => variant.quality?.withinBound === false);
  if (beyond.length > 0) {
    const message = beyond.map((variant) => boundMessage(variant, spec)).join('; ');
    return { type: 'QualityBound', status: 'False', reason: 'PerplexityBeyondBound', message };
  }
  if (variants.some((variant) => variant.quality === null)) {
    const message = 'not every variant has been measured yet';
    return { type: 'QualityBound', status: 'Unknown', reason: 'NotMeasured', message };
  }
  return { type: 'QualityBound', status: 'True', reason: 'WithinBound', message: '' };
}

/** Why a variant is beyond the bound, with its figures. */
export function boundMessage(variant: VariantStatus, spec: ModelSpec): string {
  const { quality } = variant;
  if (quality === null) return `${variant.name} is not measured`;
  const figures = `${quality.perplexity.toFixed(3)} against ${quality.sourcePerplexity.toFixed(3)}`;
  return (
    `variant ${variant.name} has perplexity ${figures} of the source ` +
    `(${quality.perplexityRatio.toFixed(3)} times; the bound is ${spec.quality.maxPerplexityRatio})`
  );
}

/** Of a model that nobody has looked at yet. */
export function unplannedStatus(): ModelStatus {
  return { observedGeneration: 0, variants: [], counts: countsOf([]), conditions: [] };
}
