/** What is done for a variant, one after the other, with its share of the whole. */
const SHARES = { plan: 0.2, encode: 0.35, assemble: 0.05, evaluate: 0.4 } as const;

export type CompressionStep = keyof typeof SHARES;

/** @param fraction of this step that is done, 0 to 1. @returns progress of the variant, 0 to 1. */
export function variantProgress(step: CompressionStep, fraction: number): number {
  const { plan, encode, assemble } = SHARES;
  const before = {
    plan: 0,
    encode: plan,
    assemble: plan + encode,
    evaluate: plan + encode + assemble,
  };
  return Math.min(1, before[step] + SHARES[step] * fraction);
}
