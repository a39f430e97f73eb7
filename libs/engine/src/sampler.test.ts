import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandomSource } from './random.source.ts';
import { argmax, TokenSampler } from './sampler.ts';
import type { SamplingOptions } from './sampling.options.ts';

const logits = Float32Array.from([1, 3, 2, 3, -5]);
const everyToken = [0, 1, 2, 3, 4];

/** Shares of the tokens over many draws, each from a text of its own. */
function shares(options: SamplingOptions, draws = 4000): number[] {
  const counts = Array.from(logits, () => 0);
  for (let seed = 0; seed < draws; seed++) {
    const token = new TokenSampler({ ...options, vocabularySize: 5, seed }).draw(logits);
    counts[token] = (counts[token] ?? 0) + 1;
  }
  return counts.map((count) => count / draws);
}

function softmax(values: ArrayLike<number>, kept: readonly number[]): number[] {
  const weights = Array.from(values, (value, i) => (kept.includes(i) ? Math.exp(value) : 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Four standard deviations of a share that is drawn 4000 times, and never more than that of 1/2. */
function expectShares(actual: readonly number[], expected: readonly number[]): void {
  for (const [i, share] of actual.entries()) {
    const wanted = expected[i] ?? 0;
    const deviation = Math.sqrt((wanted * (1 - wanted)) / 4000);
    expect(Math.abs(share - wanted)).toBeLessThanOrEqual(4 * deviation);
  }
}

describe('TokenSampler', () => {
  it('takes the first of the likeliest at temperature 0', () => {
    expect(shares({ temperature: 0 }, 3)).toEqual([0, 1, 0, 0, 0]);
    expect(shares({}, 3)).toEqual([0, 1, 0, 0, 0]);
    expect(argmax(logits)).toBe(1);
  });

  it.each<[SamplingOptions, readonly number[]]>([
    [{ temperature: 1 }, softmax(logits, everyToken)],
    [
      { temperature: 2 },
      softmax(
        logits.map((logit) => logit / 2),
        everyToken,
      ),
    ],
    [{ temperature: 1, topK: 3 }, softmax(logits, [1, 2, 3])],
    [{ temperature: 1, topK: 99 }, softmax(logits, everyToken)],
    [{ temperature: 1, topP: 0.3 }, softmax(logits, [1])],
    [{ temperature: 1, topP: 0.7 }, softmax(logits, [1, 3])],
    [{ temperature: 1, topP: 0.9 }, softmax(logits, [1, 2, 3])],
    [{ temperature: 1, topK: 1, topP: 0.9 }, softmax(logits, [1])],
    // 0.42, 0.42, 0.16 after top-k 3: two of them reach 0.84, of all tokens three would.
    [{ temperature: 1, topK: 3, topP: 0.84 }, softmax(logits, [1, 3])],
    [{ temperature: 1, minP: 0.3 }, softmax(logits, [1, 2, 3])],
    [{ temperature: 1, minP: 0.4 }, softmax(logits, [1, 3])],
    [{ temperature: 1, minP: 1 }, softmax(logits, [1, 3])],
    // The temperature comes before the filters: exp(-1 / 2) = 0.61 of the likeliest.
    [
      { temperature: 2, minP: 0.6 },
      softmax(
        logits.map((logit) => logit / 2),
        [1, 2, 3],
      ),
    ],
    [{ temperature: 1e-300 }, softmax(logits, [1, 3])],
    [{ temperature: 1, logitBias: new Map([[4, 7]]) }, softmax([1, 3, 2, 3, 2], everyToken)],
    [{ temperature: 1, logitBias: new Map([[1, -100]]) }, softmax(logits, [0, 2, 3, 4])],
  ])('draws from the distribution that %j asks for', (options, expected) => {
    expectShares(shares(options), expected);
  });

  it('draws the same for a seed, and otherwise for another', () => {
    const texts = [1, 1, 2].map((seed) => {
      const sampler = new TokenSampler({ temperature: 2, vocabularySize: 5, seed });
      return Array.from({ length: 40 }, () => sampler.draw(logits));
    });
    expect(texts[0]).toEqual(texts[1]);
    expect(texts[0]).not.toEqual(texts[2]);
  });

  // Steps of 2^-10: logits closer than a double's precision have no order after exp.
  const anyLogits = fc
    .array(fc.integer({ min: -20 * 1024, max: 20 * 1024 }), { minLength: 1, maxLength: 40 })
    .map((list) => Float32Array.from(list, (value) => value / 1024));
  const share = fc.double({ min: 0.01, max: 1, noNaN: true });

  it('never leaves what the filters keep', () => {
    fc.assert(
      fc.property(
        anyLogits,
        share,
        fc.nat(41),
        share,
        fc.nat(),
        (values, topP, topK, minP, seed) => {
          const options = { temperature: 1, topP, topK, minP, seed, vocabularySize: values.length };
          const token = new TokenSampler(options).draw(values);
          const weights = Array.from(values, (value) => Math.exp(value));
          const order = [...weights.keys()].sort(
            (a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b,
          );
          const kept = topK === 0 ? order : order.slice(0, topK);
          const sum = (list: number[]) => list.reduce((total, i) => total + (weights[i] ?? 0), 0);
          const rank = kept.indexOf(token);
          expect(rank).toBeGreaterThanOrEqual(0);
          expect(sum(kept.slice(0, rank))).toBeLessThanOrEqual(topP * sum(kept) * (1 + 1e-9));
          const relative = (weights[token] ?? 0) / (weights[order[0] ?? 0] ?? 1);
          expect(relative).toBeGreaterThanOrEqual(minP * (1 - 1e-9));
        },
      ),
    );
  });

  it('keeps as many as sorting does, in vocabularies of any size', () => {
    const random = createRandomSource(5);
    for (const size of [1, 2, 1000, 20_000]) {
      // Few distinct values, so that cuts fall among equals; some too unlikely ever to be drawn.
      const values = Float32Array.from({ length: size }, () => Math.floor(random.next() * 300) / 4);
      for (const topK of [1, 7, 500, size - 1]) {
        if (topK < 1) continue;
        const order = [...values.keys()].sort(
          (a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b,
        );
        const kept = new Set(order.slice(0, topK));
        const sampler = new TokenSampler({ temperature: 40, topK, vocabularySize: size });
        const drawn = Array.from({ length: 200 }, () => sampler.draw(values));
        expect(drawn.filter((token) => !kept.has(token))).toEqual([]);
      }
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses a logit of %d', (bad) => {
    const sampler = new TokenSampler({ temperature: 1, vocabularySize: 2 });
    expect(() => sampler.draw(Float32Array.of(0, bad))).toThrow(
      expect.objectContaining({ reason: 'NonFiniteLogits' }),
    );
  });
});

describe('penalties', () => {
  /** Greedy texts of logits that stay the same. */
  const text = (options: SamplingOptions, prompt: number[] = [], length = 6) => {
    const sampler = new TokenSampler({ ...options, prompt, vocabularySize: 4 });
    const flat = Float32Array.of(2, 1.5, 1, -0.5);
    return Array.from({ length }, () => sampler.draw(flat));
  };

  it('make repeated tokens less likely, those of the prompt too', () => {
    expect(text({ repetitionPenalty: 1 })).toEqual([0, 0, 0, 0, 0, 0]);
    // 2 / 1.9 lies above 1, but below 1.5; 1.5 / 1.9 is below 1.
    expect(text({ repetitionPenalty: 1.9 })).toEqual([0, 1, 0, 0, 0, 0]);
    expect(text({ repetitionPenalty: 1.9 }, [0])).toEqual([1, 0, 0, 0, 0, 0]);
    // A negative logit is multiplied: -0.5 * 1.9 stays the least.
    expect(text({ repetitionPenalty: 100 }, [0, 1, 2])).toEqual([0, 0, 0, 0, 0, 0]);
    expect(text({ repetitionPenalty: 0.1 }, [2])).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it('count the text, not the prompt', () => {
    expect(text({ frequencyPenalty: 0.4 }, [0, 0, 0])).toEqual([0, 0, 1, 0, 1, 2]);
    expect(text({ presencePenalty: 0.6 }, [0])).toEqual([0, 1, 0, 0, 0, 0]);
    expect(text({ presencePenalty: -1 }, [3])).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

it.each<[SamplingOptions, string]>([
  [{ temperature: -1 }, 'BadArgument'],
  [{ temperature: Number.NaN }, 'BadArgument'],
  [{ topP: 0 }, 'BadArgument'],
  [{ topP: 1.1 }, 'BadArgument'],
  [{ topK: -1 }, 'BadArgument'],
  [{ topK: 1.5 }, 'BadArgument'],
  [{ minP: 1.1 }, 'BadArgument'],
  [{ repetitionPenalty: 0 }, 'BadArgument'],
  [{ frequencyPenalty: 101 }, 'BadArgument'],
  [{ presencePenalty: Number.NaN }, 'BadArgument'],
  [{ logitBias: new Map([[1, 101]]) }, 'BadArgument'],
  [{ logitBias: new Map([[4, 1]]) }, 'BadToken'],
  [{ logitBias: new Map([[-1, 1]]) }, 'BadToken'],
])('TokenSampler refuses %j', (options, reason) => {
  expect(() => new TokenSampler({ ...options, vocabularySize: 4 })).toThrow(
    expect.objectContaining({ reason }),
  );
});
