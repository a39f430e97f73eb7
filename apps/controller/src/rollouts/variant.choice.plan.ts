import type { Device, RolloutSpec, Target, Timeouts } from '@entrofleet/protocol';
import { type Footprints, mib, misfit, weightsHeld } from './fitness.plan.ts';

/** A variant that a rollout may put on devices, with what is known of its quality. */
export interface VariantCandidate {
  readonly variant: string;
  readonly target: Target;
  /** Perplexity over the source's. */
  readonly perplexityRatio: number;
  readonly sizeBytes: number;
  readonly isWithinBound: boolean;
}

export interface VariantRejection {
  readonly variant: string;
  readonly reason: string;
  /** With the arithmetic. */
  readonly message: string;
}

export interface VariantChoice {
  /** `undefined` when none fits; then `rejected` names all. */
  readonly chosen: Target | undefined;
  /** Why this one, with figures; empty when nothing fits. */
  readonly message: string;
  readonly rejected: readonly VariantRejection[];
}

export interface VariantChoiceFacts {
  readonly device: Device;
  readonly candidates: readonly VariantCandidate[];
  readonly preference: RolloutSpec['preference'];
  /** Memory in bytes of artifacts that devices run, by artifact id. */
  readonly footprints: Footprints;
  /** `spec.force`: variants beyond the quality bound may be chosen, after all others. */
  readonly isForced?: boolean;
  readonly timeouts?: Timeouts;
  /** Payload that the device lacks of a target, where that is known; see {@link misfit}. */
  readonly bytesToFetch?: (target: Target) => number | undefined;
}

interface Ranked {
  readonly candidate: VariantCandidate;
  /** Smaller is better. */
  readonly cost: number;
  readonly words: string;
}

/**
 * Of the variants that a device can take the best by preference: `Quality` the least perplexity,
 * `Size` the smallest artifact, `Speed` the most expected tokens per second, which is how often in
 * a second the device reads the weights as it would hold them. Equals are told apart by perplexity,
 * then size, then name. Deterministic; every variant that is passed over as unfit is named.
 */
export function chooseVariant(facts: VariantChoiceFacts): VariantChoice {
  const rejected: VariantRejection[] = [];
  const fitting: Ranked[] = [];
  for (const candidate of facts.candidates) {
    const rejection = rejectionOf(facts, candidate);
    if (rejection === undefined) fitting.push(ranked(facts, candidate));
    else rejected.push({ variant: candidate.variant, ...rejection });
  }
  const [best] = fitting.sort(compare);
  const isChoice = facts.candidates.length > 1;
  const message = isChoice ? (best?.words ?? '') : 'the only variant that the rollout may use';
  return { chosen: best?.candidate.target, message: best === undefined ? '' : message, rejected };
}

function rejectionOf(
  facts: VariantChoiceFacts,
  candidate: VariantCandidate,
): Omit<VariantRejection, 'variant'> | undefined {
  const { target, perplexityRatio } = candidate;
  if (!candidate.isWithinBound && facts.isForced !== true) {
    const message =
      `${target.model} ${candidate.variant} has ${perplexityRatio.toFixed(3)} times the source's ` +
      'perplexity, beyond the bound of the model; spec.force: true would allow it';
    return { reason: 'PerplexityBeyondBound', message };
  }
  return misfit(facts.device, target, facts.footprints, {
    timeouts: facts.timeouts,
    bytesToFetch: () => facts.bytesToFetch?.(target),
  });
}

function ranked(facts: VariantChoiceFacts, candidate: VariantCandidate): Ranked {
  const { perplexityRatio, sizeBytes } = candidate;
  if (facts.preference === 'Size') {
    return { candidate, cost: sizeBytes, words: `the smallest that fits: ${mib(sizeBytes)}` };
  }
  if (facts.preference === 'Quality') {
    const words = `the best that fits: ${perplexityRatio.toFixed(3)} times the source's perplexity`;
    return { candidate, cost: perplexityRatio, words };
  }
  return { candidate, ...tokenCost(facts, candidate.target) };
}

/** Seconds that a token takes, in proportion when the device has not measured its memory. */
function tokenCost(facts: VariantChoiceFacts, target: Target): { cost: number; words: string } {
  const { device, footprints } = facts;
  const held = weightsHeld(device, target, footprints);
  const report = device.status.report;
  const read = report?.capabilities.readBytesPerSecond ?? null;
  const size = `${mib(held.sizeBytes)} of ${held.form.toLowerCase()} weights`;
  if (read === null || read === 0) {
    // Decoding them again for each token costs more than any difference in size.
    const penalty = held.form === 'Coded' ? Number.MAX_SAFE_INTEGER : 0;
    return { cost: penalty + held.sizeBytes, words: `the fastest that fits: ${size}` };
  }
  const readSeconds = held.sizeBytes / read;
  const decoder = (report?.measurement?.entropyDecodeGigabytesPerSecond ?? 0) * 1e9;
  const decodeSeconds =
    held.form === 'Resident' ? 0 : decoder > 0 ? target.memoryBytes / decoder : 10 * readSeconds;
  const cost = readSeconds + decodeSeconds;
  const decoding = decodeSeconds === 0 ? '' : `, ${decodeSeconds.toFixed(3)} s to decode them`;
  const words =
    `the fastest that fits: about ${(1 / cost).toFixed(1)} tokens/s from ${size} at ` +
    `${mib(read)}/s${decoding}`;
  return { cost, words };
}

function compare(a: Ranked, b: Ranked): number {
  const [x, y] = [a.candidate, b.candidate];
  if (x.isWithinBound !== y.isWithinBound) return x.isWithinBound ? -1 : 1;
  return (
    a.cost - b.cost ||
    x.perplexityRatio - y.perplexityRatio ||
    x.sizeBytes - y.sizeBytes ||
    (x.variant < y.variant ? -1 : 1)
  );
}
