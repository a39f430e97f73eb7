/**
 * Time to draw a token from a vocabulary of 128k, by option: `node test/bench/sampler.bench.ts`.
 * Milliseconds of each draw, least and median of 400.
 */
import {
  createRandomSource,
  type SamplingOptions,
  TokenSampler,
  tokenLogprobs,
} from '@entrofleet/engine';

const VOCABULARY_SIZE = 128 * 1024;
const DRAWS = 400;

const CASES: readonly (readonly [string, SamplingOptions])[] = [
  ['greedy', {}],
  ['temperature 0.8', { temperature: 0.8 }],
  ['temperature 0.8, top-k 40', { temperature: 0.8, topK: 40 }],
  ['temperature 0.8, top-p 0.95', { temperature: 0.8, topP: 0.95 }],
  ['temperature 0.8, min-p 0.05', { temperature: 0.8, minP: 0.05 }],
  ['all filters', { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 }],
  ['penalties, 2000 tokens', { temperature: 0.8, topK: 40, repetitionPenalty: 1.1 }],
];

/** Logits with a broad middle and some hundred tokens that stand out, as a model gives them. */
function modelLogits(): Float32Array {
  const random = createRandomSource(1);
  const normal = () => Array.from({ length: 6 }, () => random.next() - 0.5);
  const logits = Float32Array.from({ length: VOCABULARY_SIZE }, () =>
    normal().reduce((sum, part) => sum + 3.5 * part, 0),
  );
  for (let i = 0; i < 200; i++) {
    const token = Math.floor(random.next() * VOCABULARY_SIZE);
    logits[token] = (logits[token] ?? 0) + 9 * random.next();
  }
  return logits;
}

function measure(name: string, work: () => void): void {
  const times = Array.from({ length: DRAWS }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  }).sort((a, b) => a - b);
  const [least = 0] = times;
  const median = times[DRAWS / 2] ?? 0;
  console.log(`${name.padEnd(30)} ${least.toFixed(2)} ms least, ${median.toFixed(2)} ms median`);
}

const logits = modelLogits();
const prompt = Array.from({ length: 2000 }, (_, i) => (i * 61) % VOCABULARY_SIZE);
for (const [name, options] of CASES) {
  const sampler = new TokenSampler({ ...options, prompt, vocabularySize: VOCABULARY_SIZE });
  measure(name, () => sampler.draw(logits));
}
measure('log-probabilities, 20 best', () => tokenLogprobs(logits, { tokenId: 5, count: 20 }));
