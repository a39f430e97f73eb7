import type { Artifact, Model, RolloutSpec, Target, VariantStatus } from '@entrofleet/protocol';
import type { VariantCandidate } from './variant.choice.plan.ts';

interface Verdict {
  readonly reason: string;
  readonly message: string;
}

interface NotAccepted extends Verdict {
  /**
   * `Waiting`: it will be possible without anybody changing the rollout, e.g. after compression.
   * `Rejected`: the rollout or the model must be changed. `Refused`: only `spec.force` allows it.
   */
  readonly kind: 'Waiting' | 'Rejected' | 'Refused';
}

/** May this model and its variants be rolled out, and as what? */
export type VariantsAcceptance =
  | (Verdict & { readonly kind: 'Accepted'; readonly candidates: readonly VariantCandidate[] })
  | NotAccepted;

/**
 * The variants that devices may get: the one of the spec, or those it lets choose from. A choice
 * waits for all of them to be compressed, lest devices be updated again for each that gets ready;
 * one whose compression has failed is left out, and one beyond the quality bound is a candidate
 * that only `spec.force` lets be chosen.
 *
 * @param artifacts what the spec, else the model's status, names for its variants, where they exist.
 */
export function judgeVariants(
  spec: RolloutSpec,
  model: Model | undefined,
  artifacts: ReadonlyMap<string, Artifact>,
): VariantsAcceptance {
  if (model === undefined) {
    const message = `model "${spec.model}" does not exist; create it or change spec.model`;
    return rejected('UnknownModel', message);
  }
  if (spec.artifactIds !== undefined) return judgeNamed(spec, model, artifacts);
  const wanted = wantedVariants(spec, model);
  const candidates: VariantCandidate[] = [];
  const failures: string[] = [];
  for (const name of wanted) {
    const variant = model.status.variants.find((v) => v.name === name);
    if (variant === undefined) return unknownVariant(name, model);
    const title = titleOf(name, spec);
    if (variant.phase === 'Failed') {
      failures.push(`${title} could not be compressed: ${variant.message}`);
      continue;
    }
    const notYet = readiness(title, variant, artifacts.get(name));
    if (notYet !== undefined) return notYet;
    const candidate = candidateOf(spec, { model, variant, artifact: artifacts.get(name) });
    if (candidate !== undefined) candidates.push(candidate);
  }
  if (candidates.length === 0) return rejected('VariantFailed', failures.join('; '));
  const qualities = new Map(model.status.variants.map(({ name, quality }) => [name, quality]));
  return judgeBounds({ spec, model, candidates, failures, qualities });
}

/** The variants that a rollout may use. */
export function wantedVariants(spec: RolloutSpec, model: Model): readonly string[] {
  if (spec.variant !== null) return [spec.variant];
  return spec.variants.length > 0 ? spec.variants : model.spec.variants.map(({ name }) => name);
}

/** Artifacts that the spec names: they need not be what the model has for its variants now. */
function judgeNamed(
  spec: RolloutSpec,
  model: Model,
  artifacts: ReadonlyMap<string, Artifact>,
): VariantsAcceptance {
  const wanted = wantedVariants(spec, model);
  const found = [...artifacts.values()].filter(({ variant }) => wanted.includes(variant));
  const known = new Set(found.map(({ id }) => id));
  const gone = (spec.artifactIds ?? []).filter((id) => !known.has(id));
  if (gone.length > 0) {
    const message =
      `model "${model.metadata.name}" has no artifact ${gone.join(', ')} of ${wanted.join(', ')}; ` +
      'leave spec.artifactIds out to roll out what it has now';
    return rejected('ArtifactGone', message);
  }
  const candidates = found.map((artifact) => ({
    variant: artifact.variant,
    target: targetOf(spec, model, artifact),
    perplexityRatio: artifact.quality.perplexityRatio,
    sizeBytes: artifact.ref.sizeBytes,
    isWithinBound: artifact.quality.perplexityRatio <= model.spec.quality.maxPerplexityRatio,
  }));
  const qualities = new Map(found.map(({ variant, quality }) => [variant, quality]));
  return judgeBounds({ spec, model, candidates, failures: [], qualities });
}

/** Why a variant that has not failed cannot be rolled out yet. */
function readiness(
  title: string,
  variant: VariantStatus,
  artifact: Artifact | undefined,
): NotAccepted | undefined {
  if (variant.phase !== 'Ready' || variant.quality === null) {
    const percent = Math.round(variant.progress * 100);
    const message = `${title} is not ready yet: ${variant.phase}, ${percent} %`;
    return { kind: 'Waiting', reason: 'VariantNotReady', message };
  }
  if (artifact !== undefined) return undefined;
  const message = `the artifact of ${title} is missing; it is made again`;
  return { kind: 'Waiting', reason: 'ArtifactMissing', message };
}

function judgeBounds(of: {
  spec: RolloutSpec;
  model: Model;
  candidates: readonly VariantCandidate[];
  failures: readonly string[];
  /** By variant. */
  qualities: ReadonlyMap<string, Quality | null>;
}): VariantsAcceptance {
  const { spec, model, candidates, failures, qualities } = of;
  const beyond = candidates
    .filter((candidate) => !candidate.isWithinBound)
    .flatMap(({ variant }) => {
      const quality = qualities.get(variant);
      return quality == null ? [] : [beyondBound(titleOf(variant, spec), model, quality)];
    })
    .join('; ');
  const isAllBeyond = candidates.every((candidate) => !candidate.isWithinBound);
  if (isAllBeyond && !spec.force) {
    const message = `${beyond}. Choose another variant, or set spec.force: true`;
    return { kind: 'Refused', reason: 'PerplexityBeyondBound', message };
  }
  if (beyond !== '' && spec.force) {
    const message = [`${beyond}; spec.force is set`, ...failures].join('; ');
    return { kind: 'Accepted', candidates, reason: 'Forced', message };
  }
  return { kind: 'Accepted', candidates, reason: 'Accepted', message: failures.join('; ') };
}

function rejected(reason: string, message: string): NotAccepted {
  return { kind: 'Rejected', reason, message };
}

function titleOf(variant: string, spec: RolloutSpec): string {
  return `variant ${variant} of model ${spec.model}`;
}

function candidateOf(
  spec: RolloutSpec,
  of: { model: Model; variant: VariantStatus; artifact: Artifact | undefined },
): VariantCandidate | undefined {
  const { model, variant, artifact } = of;
  if (artifact === undefined || variant.quality === null) return undefined;
  return {
    variant: variant.name,
    target: targetOf(spec, model, artifact),
    perplexityRatio: variant.quality.perplexityRatio,
    sizeBytes: artifact.ref.sizeBytes,
    isWithinBound: variant.quality.withinBound,
  };
}

function unknownVariant(wanted: string, model: Model): NotAccepted {
  const known = model.spec.variants.map((v) => v.name);
  if (known.includes(wanted)) {
    const message = `variant ${wanted} of model ${model.metadata.name} is not ready yet`;
    return { kind: 'Waiting', reason: 'VariantNotReady', message };
  }
  const message =
    `model "${model.metadata.name}" has no variant "${wanted}"; it has ${known.join(', ')}. ` +
    'Change the rollout or add the variant to the model';
  return rejected('UnknownVariant', message);
}

type Quality = Pick<
  NonNullable<VariantStatus['quality']>,
  'perplexity' | 'perplexityRatio' | 'sourcePerplexity'
>;

function beyondBound(name: string, model: Model, quality: Quality): string {
  const bound = model.spec.quality.maxPerplexityRatio;
  return (
    `${name} has perplexity ${quality.perplexity.toFixed(3)}, ` +
    `${quality.perplexityRatio.toFixed(3)} times the source's ` +
    `${quality.sourcePerplexity.toFixed(3)}; the model's bound is ${bound} times`
  );
}

function targetOf(spec: RolloutSpec, model: Model, artifact: Artifact): Target {
  const { contextLength } = model.spec.serving;
  return artifactTarget(artifact, { contextLength, samplePrompt: spec.samplePrompt });
}

/** @param as.contextLength the longest to serve, if the artifact allows as much. */
export function artifactTarget(
  artifact: Artifact,
  as: Pick<Target, 'contextLength' | 'samplePrompt'>,
): Target {
  const contextLength = Math.min(as.contextLength, artifact.contextLength);
  return {
    model: artifact.model,
    variant: artifact.variant,
    artifact: artifact.ref,
    memoryBytes: artifact.memoryBytes,
    contextLength,
    kvCacheBytes: contextLength * artifact.kvCacheBytesPerToken,
    probe: artifact.probe,
    samplePrompt: as.samplePrompt,
  };
}
