import { expect, it } from 'vitest';
import { variantProgress } from './compression.progress.ts';

it('goes from 0 to 1 through the steps without a gap', () => {
  const steps = ['plan', 'encode', 'assemble', 'evaluate'] as const;
  expect(variantProgress('plan', 0)).toBe(0);
  expect(variantProgress('evaluate', 1)).toBe(1);
  for (const [i, step] of steps.entries()) {
    const next = steps[i + 1];
    if (next !== undefined) {
      expect(variantProgress(step, 1)).toBeCloseTo(variantProgress(next, 0), 12);
    }
    expect(variantProgress(step, 0.5)).toBeGreaterThan(variantProgress(step, 0));
  }
});
