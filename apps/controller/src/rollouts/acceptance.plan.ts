import type { Artifact, Model, RolloutSpec, Target } from '@entrofleet/protocol';

/** May this model and variant be rolled out, and as what? */
export type Acceptance =
  | { readonly kind: 'Accepted'; readonly target: Target; readonly reason: string; message: string }
  /** It will be possible without anybody changing the rollout, e.g. after compression. */
  | { readonly kind: 'Waiting'; readonly reason: string; readonly message: string }
  /** The rollout or the model must be changed. */
  | { readonly kind: 'Rejected'; readonly reason: string; readonly message: string }
  /** Only `spec.force` makes it possible. */
  | { readonly kind: 'Refused'; readonly reason: string; readonly message: string };

/** @param artifact what the model's status names for the variant, where it exists. */
export function judgeAcceptance(
  spec: RolloutSpec,
  model: Model | undefined,
  artifact: Artifact | undefined,
): Acceptance {
  if (model === undefined) {
    const message = `model "${spec.model}" does not exist; create it or change spec.model`;
    return { kind: 'Rejected', reason: 'UnknownModel', message };
  }
  if (spec.variant === null) {
    const message = 'spec.variant is not set; name the variant to roll out';
    return { kind: 'Rejected', reason: 'NoVariant', message };
  }
  const variant = model.status.variants.find((v) => v.name === spec.variant);
  if (variant === undefined) return unknownVariant(spec.variant, model);
  const name = `variant ${spec.variant} of model ${spec.model}`;
  if (variant.phase === 'Failed') {
    const message = `${name} could not be compressed: ${variant.message}`;
    return { kind: 'Rejected', reason: 'VariantFailed', message };
  }
  if (variant.phase !== 'Ready' || variant.quality === null) {
    const percent = Math.round(variant.progress * 100);
    const message = `${name} is not ready yet: ${variant.phase}, ${percent} %`;
    return { kind: 'Waiting', reason: 'VariantNotReady', message };
  }
  const beyond = beyondBound(name, model, variant.quality);
  if (beyond !== undefined && !spec.force) {
    const message = `${beyond}. Choose another variant, or set spec.force: true`;
    return { kind: 'Refused', reason: 'PerplexityBeyondBound', message };
  }
  if (artifact === undefined) {
    const message = `the artifact of ${name} is missing; it is made again`;
    return { kind: 'Waiting', reason: 'ArtifactMissing', message };
  }
  const target = targetOf(spec, model, artifact);
  if (beyond === undefined) return { kind: 'Accepted', target, reason: 'Accepted', message: '' };
  return { kind: 'Accepted', target, reason: 'Forced', message: `${beyond}; spec.force is set` };
}

function unknownVariant(wanted: string, model: Model): Acceptance {
  const known = model.spec.variants.map((v) => v.name);
  if (known.includes(wanted)) {
    const message = `variant ${wanted} of model ${model.metadata.name} is not ready yet`;
    return { kind: 'Waiting', reason: 'VariantNotReady', message };
  }
  const message =
    `model "${model.metadata.name}" has no variant "${wanted}"; it has ${known.join(', ')}. ` +
    'Change spec.variant or add the variant to the model';
  return { kind: 'Rejected', reason: 'UnknownVariant', message };
}

function beyondBound(
  name: string,
  model: Model,
  quality: NonNullable<Model['status']['variants'][number]['quality']>,
): string | undefined {
  if (quality.withinBound) return undefined;
  const bound = model.spec.quality.maxPerplexityRatio;
  return (
    `${name} has perplexity ${quality.perplexity.toFixed(3)}, ` +
    `${quality.perplexityRatio.toFixed(3)} times the source's ` +
    `${quality.sourcePerplexity.toFixed(3)}; the model's bound is ${bound} times`
  );
}

function targetOf(spec: RolloutSpec, model: Model, artifact: Artifact): Target {
  const contextLength = Math.min(model.spec.serving.contextLength, artifact.contextLength);
  return {
    model: spec.model,
    variant: artifact.variant,
    artifact: artifact.ref,
    memoryBytes: artifact.memoryBytes,
    contextLength,
    kvCacheBytes: contextLength * artifact.kvCacheBytesPerToken,
    probe: artifact.probe,
    samplePrompt: spec.samplePrompt,
  };
}
