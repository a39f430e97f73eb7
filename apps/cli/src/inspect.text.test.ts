import { expect, test } from 'vitest';
import {
  barChart,
  configSummary,
  layerFacts,
  recipeText,
  type TensorFacts,
} from './inspect.text.ts';

const tensor = (name: string, bits: number, codec: 'raw' | 'lanes' = 'lanes'): TensorFacts => ({
  name,
  codec,
  shape: [8, 8],
  weights: 64,
  sizeBytes: bits * 8,
  bitsPerWeight: bits,
  entropyBitsPerWeight: codec === 'raw' ? null : bits,
  lossOverEntropy: codec === 'raw' ? null : 0,
  sqnrDb: null,
});

test('layers are in the order of their numbers, behind the other tensors; norms do not count', () => {
  const layers = layerFacts([
    tensor('model.layers.10.a.weight', 4),
    tensor('model.layers.2.a.weight', 2),
    tensor('model.layers.2.b.weight', 4),
    tensor('model.layers.2.norm.weight', 32, 'raw'),
    tensor('lm_head.weight', 6),
  ]);
  expect(layers).toEqual([
    { layer: 'lm_head', weights: 64, bitsPerWeight: 6 },
    { layer: 'layer 2', weights: 128, bitsPerWeight: 3 },
    { layer: 'layer 10', weights: 64, bitsPerWeight: 4 },
  ]);
});

test('bars are proportional', () => {
  const lines = barChart([
    { layer: 'a', weights: 1, bitsPerWeight: 8 },
    { layer: 'bb', weights: 1, bitsPerWeight: 4 },
  ]);
  expect(lines).toEqual([`  a   8.000  ${'#'.repeat(32)}`, `  bb  4.000  ${'#'.repeat(16)}`]);
});

test('recipes are named as they are given', () => {
  expect(recipeText({ kind: 'affine', bits: 8 })).toBe('u8');
  expect(recipeText({ kind: 'affine', bits: 4 })).toBe('u4-paper');
  expect(recipeText({ kind: 'rate', targetBitsPerWeight: 4.2 })).toBe('rd-4.2');
  expect(recipeText({ kind: 'quality', targetSqnrDb: 24 })).toBe('rd-q24');
  const calibration = { tokensSha256: '0123456789abcdef'.repeat(4) };
  expect(recipeText({ kind: 'rate', targetBitsPerWeight: 3, calibration })).toBe(
    'rd-3, calibrated on tokens 0123456789ab',
  );
});

test('the summary has only what the config has', () => {
  expect(configSummary({ model_type: 'llama', foo: 1 })).toEqual({ model_type: 'llama' });
});
