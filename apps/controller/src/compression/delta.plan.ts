import type { Artifact } from '@entrofleet/protocol';
import type { DeltaPair } from '../artifacts/delta.record.ts';

/** Bases of one target: as many as a target names to devices. */
const BASES_MAX = 8;

/**
 * The deltas that are worth trying: to every artifact that may be rolled out, from those on devices
 * that are older, of the same recipe, and of models with the same numbers of weights. The youngest
 * bases come first.
 */
export function wantedDeltas(of: {
  readonly targets: readonly Artifact[];
  readonly bases: readonly Artifact[];
}): DeltaPair[] {
  return of.targets.flatMap((target) =>
    of.bases
      .filter((base) => base.id !== target.id && isOlder(base, target) && isAlike(base, target))
      .sort((a, b) => b.createdAt.localeCompare(a.createdAt))
      .slice(0, BASES_MAX)
      .map((base) => ({ base: base.id, target: target.id })),
  );
}

function isOlder(a: Artifact, b: Artifact): boolean {
  return a.createdAt < b.createdAt;
}

/** Not whether shapes agree, which their headers tell; only whether they may. */
function isAlike(a: Artifact, b: Artifact): boolean {
  return (
    a.recipe === b.recipe &&
    a.quality.weights === b.quality.weights &&
    a.quality.codedWeights === b.quality.codedWeights &&
    a.kvCacheBytesPerToken === b.kvCacheBytesPerToken
  );
}
