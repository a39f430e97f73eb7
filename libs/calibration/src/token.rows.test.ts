import { type ModelConfig, parseModelConfig } from '@entrofleet/engine';
import { describe, expect, it } from 'vitest';
import { batchesOf, cutRows, requireRows, rowsSha256 } from './token.rows.ts';

const config: ModelConfig = parseModelConfig({
  model_type: 'llama',
  vocab_size: 10,
  hidden_size: 4,
  intermediate_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  max_position_embeddings: 5,
});

const rowsOf = (...lengths: number[]) => lengths.map((n) => new Array<number>(n).fill(1));

describe('calibration rows', () => {
  it('must be tokens that the model knows, in rows that it can read', () => {
    requireRows([[0, 9], [1]], config);
    for (const rows of [[], [[]], [[10]], [[-1]], [[0.5]], rowsOf(6)]) {
      expect(() => requireRows(rows, config)).toThrow(/calibration tokens/);
    }
  });

  it('are gathered in batches of whole rows', () => {
    const batches = batchesOf(rowsOf(1000, 1000, 100, 2048, 1));
    expect(batches.map(({ firstToken, tokens }) => [firstToken, tokens])).toEqual([
      [0, 2000],
      [2000, 100],
      [2100, 2048],
      [4148, 1],
    ]);
    expect(batches.map(({ lengths }) => Array.from(lengths))).toEqual([
      [1000, 1000],
      [100],
      [2048],
      [1],
    ]);
  });

  it('are cut where they are longer than a batch', () => {
    const long = Array.from({ length: 5000 }, (_, i) => i);
    const pieces = cutRows([[1], long]);
    expect(pieces.map((piece) => piece.length)).toEqual([1, 2048, 2048, 904]);
    expect(pieces.flat()).toEqual([1, ...long]);
  });

  it('have an identity', () => {
    expect(rowsSha256([[1, 2], [3]])).not.toBe(rowsSha256([[1], [2, 3]]));
    expect(rowsSha256([[1]])).toMatch(/^[0-9a-f]{64}$/);
  });
});
