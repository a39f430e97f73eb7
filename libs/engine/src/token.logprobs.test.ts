import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fallingExponential } from './falling.exponential.ts';
import { tokenLogprobs } from './token.logprobs.ts';

it('gives the logarithm of the softmax and the likeliest tokens', () => {
  const values = fc.array(fc.integer({ min: -99, max: 99 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(values, fc.nat(59), fc.nat(20), (list, at, count) => {
      const logits = Float32Array.from(list, (value) => value / 4);
      const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const tokenId = at % logits.length;
      const entry = tokenLogprobs(logits, { tokenId, count });
      expect(entry.logprob).toBeCloseTo((logits[tokenId] ?? 0) - total, 9);
      const order = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
      expect(entry.top.map((other) => other.tokenId)).toEqual(order.slice(0, count));
      for (const other of entry.top) {
        expect(other.logprob).toBeCloseTo((logits[other.tokenId] ?? 0) - total, 9);
      }
    }),
  );
});

it('computes falling exponentials to the last places', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 50, noNaN: true }), (fall) => {
      expect(Math.abs(fallingExponential(fall) / Math.exp(-fall) - 1)).toBeLessThan(1e-15);
    }),
  );
});
