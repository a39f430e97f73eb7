import { expect, test } from 'vitest';
import { compressText } from './compress.text.ts';

const ref = {
  id: 'ab'.repeat(32),
  sizeBytes: 1500,
  headerSizeBytes: 64,
  headerChunks: [],
  chunkCount: 1,
  chunkSizeBytes: 4096,
};

test('names the figures of the artifact', () => {
  const totals = {
    weights: 10,
    codedWeights: 8,
    bitsPerWeight: 4.04,
    entropyBitsPerWeight: 4,
    sqnrDb: 21.5,
  };
  const text = compressText('a.efa', { ref, totals, evaluation: null });
  expect(text).toContain('1500 bytes (1.5 kB)');
  expect(text).toContain('4.040 (1.00 % over entropy)');
  expect(text).toContain('21.50 dB');
});

test('tells the perplexity where it was measured', () => {
  const totals = {
    weights: 1,
    codedWeights: 1,
    bitsPerWeight: 1,
    entropyBitsPerWeight: 1,
    sqnrDb: null,
  };
  const evaluation = {
    artifact: ref.id,
    perplexity: 3.5,
    sourcePerplexity: 3,
    origin: 'rows.json',
    rows: 2,
    tokens: 20,
    tokensSha256: ref.id,
  };
  expect(compressText('a.efa', { ref, totals, evaluation })).toContain(
    'perplexity       3.5000, source 3.0000 (20 tokens of 2 rows)\n',
  );
});

test('a model without coded tensors has no loss over entropy', () => {
  const totals = {
    weights: 10,
    codedWeights: 0,
    bitsPerWeight: 0,
    entropyBitsPerWeight: 0,
    sqnrDb: null,
  };
  expect(compressText('a.efa', { ref, totals, evaluation: null })).not.toContain('over entropy');
});
