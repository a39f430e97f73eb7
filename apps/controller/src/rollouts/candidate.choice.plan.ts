import type { Device, Member, Target } from '@entrofleet/protocol';
import { misfit } from './fitness.plan.ts';
import type { RolloutFacts } from './rollout.types.ts';
import { chooseVariant, type VariantCandidate } from './variant.choice.plan.ts';

export interface CandidateChoice {
  readonly target: Target;
  /** Why the device cannot take it, nor any other; asked of devices that are not started. */
  readonly misfit: () => { readonly reason: string; readonly message: string } | undefined;
}

/**
 * Which of the candidates a device gets. A member that is started keeps its own: nothing that is
 * measured on the way makes it begin again with another.
 */
export function choiceOf(
  facts: RolloutFacts,
  candidates: readonly VariantCandidate[],
): (device: Device, previous: Member | undefined) => CandidateChoice | undefined {
  const { spec } = facts.rollout;
  const { timeouts } = spec.strategy;
  const { footprints } = facts;
  const byArtifact = new Map(candidates.map(({ target }) => [target.artifact.id, target]));
  const [first, ...more] = candidates.map(({ target }) => target);
  return (device, previous) => {
    if (first === undefined) return undefined;
    const own = previous?.wave == null ? undefined : byArtifact.get(previous.artifactId ?? '');
    if (own !== undefined) return { target: own, misfit: () => undefined };
    const bytesToFetch = (target: Target) => facts.predict?.(device, target).bytesToFetch;
    if (more.length === 0) {
      const limits = { timeouts, bytesToFetch: () => bytesToFetch(first) };
      return { target: first, misfit: () => misfit(device, first, footprints, limits) };
    }
    const { chosen, rejected } = chooseVariant({
      device,
      candidates,
      preference: spec.preference,
      footprints,
      isForced: spec.force,
      timeouts,
      bytesToFetch,
    });
    if (chosen !== undefined) return { target: chosen, misfit: () => undefined };
    const message = rejected.map((each) => `${each.variant}: ${each.message}`).join('; ');
    return { target: first, misfit: () => ({ reason: 'NoVariantFits', message }) };
  };
}
