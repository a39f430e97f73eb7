/** An artifact on the disk, complete or not. */
export interface StoredArtifact {
  readonly id: string;
  /** What it takes on the disk. */
  readonly sizeBytes: number;
  /** Greater than that of those that were used before it. */
  readonly usedOrder: number;
}

export interface CollectionPlan {
  /** To be deleted, in this order. */
  readonly remove: readonly string[];
  /** What stays takes so much. */
  readonly leftBytes: number;
}

/**
 * Chooses what goes so that the rest takes no more than `allowedBytes`: those that were used longest
 * ago first, and never one to keep, even where that is too much.
 */
export function planCollection(use: {
  readonly stored: readonly StoredArtifact[];
  readonly keep: readonly string[];
  readonly allowedBytes: number;
}): CollectionPlan {
  const { stored, keep, allowedBytes } = use;
  let leftBytes = stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const remove: string[] = [];
  const spare = stored.filter(({ id }) => !keep.includes(id));
  for (const { id, sizeBytes } of spare.sort((a, b) => a.usedOrder - b.usedOrder)) {
    if (leftBytes <= allowedBytes) break;
    remove.push(id);
    leftBytes -= sizeBytes;
  }
  return { remove, leftBytes };
}
