import { describe, expect, it } from 'vitest';
import { ImportError } from '../../deploy/models/import.error.ts';
import { readLlama2cTokenizer } from '../../deploy/models/llama2c.tokenizer.ts';
import { readLlama2c } from '../../deploy/models/llama2c.weights.ts';
import { convert } from '../../deploy/models/stories15m.ts';

/** dim 8, hidden 3, 2 layers, 2 heads of 4, 1 key-value head, 5 tokens, 2 positions. */
const GEOMETRY = [8, 3, 2, 2, 1, 5, 2];
const HEAD_SIZE = 4;

/** A checkpoint whose n-th float is n, so that every value tells where it came from. */
function counting(geometry = GEOMETRY): Buffer {
  const [dim = 0, hidden = 0, layers = 0, , keyValueHeads = 0, vocabulary = 0, length = 0] =
    geometry;
  const attention = 2 * dim * dim + 2 * dim * keyValueHeads * HEAD_SIZE;
  const perLayer = 2 * dim + attention + 3 * dim * hidden;
  const count = vocabulary * dim + layers * perLayer + dim + length * HEAD_SIZE;
  return Buffer.concat([
    Buffer.from(Int32Array.from(geometry).buffer),
    Buffer.from(Float32Array.from({ length: count }, (_, i) => i).buffer),
  ]);
}

describe('a llama2.c checkpoint', () => {
  const model = readLlama2c(counting());
  const tensor = (name: string) => {
    const found = model.tensors.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };

  it('is cut into tensors in the order of llama2.c', () => {
    const first = (name: string) => tensor(name).data[0];
    expect(first('model.embed_tokens.weight')).toBe(0);
    expect(first('model.layers.0.input_layernorm.weight')).toBe(40);
    expect(first('model.layers.1.input_layernorm.weight')).toBe(48);
    expect(first('model.layers.0.self_attn.q_proj.weight')).toBe(56);
    expect(first('model.layers.0.self_attn.k_proj.weight')).toBe(56 + 128);
    expect(first('model.layers.0.self_attn.v_proj.weight')).toBe(184 + 64);
    expect(first('model.layers.0.self_attn.o_proj.weight')).toBe(248 + 64);
    expect(first('model.layers.0.post_attention_layernorm.weight')).toBe(312 + 128);
    expect(first('model.layers.0.mlp.gate_proj.weight')).toBe(440 + 16);
    expect(first('model.layers.0.mlp.down_proj.weight')).toBe(456 + 48);
    expect(first('model.layers.0.mlp.up_proj.weight')).toBe(504 + 48);
    expect(first('model.norm.weight')).toBe(552 + 48);
    expect(tensor('model.layers.0.mlp.down_proj.weight').shape).toEqual([8, 3]);
    expect(tensor('model.layers.0.self_attn.k_proj.weight').shape).toEqual([4, 8]);
    expect(model.sizeBytes).toBe(counting().length);
  });

  it('has the rows of query and key reordered from pairs to halves in each head', () => {
    const rows = (name: string) => {
      const { data } = tensor(name);
      return Array.from({ length: data.length / 8 }, (_, r) => ((data[r * 8] ?? 0) - 56) / 8);
    };
    expect(rows('model.layers.0.self_attn.q_proj.weight')).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
    expect(rows('model.layers.1.self_attn.k_proj.weight')).toEqual([20, 22, 21, 23]);
    expect(rows('model.layers.0.self_attn.v_proj.weight')).toEqual([24, 25, 26, 27]);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a cut file', counting().subarray(0, -1)],
    ['zeros', Buffer.alloc(100)],
    ['a classifier of its own', counting().fill(0xff, 20, 24)],
    ['heads that do not divide', counting([8, 3, 2, 3, 1, 5, 2])],
  ])('refuses %s', (_, bytes) => {
    expect(() => readLlama2c(bytes)).toThrow(ImportError);
  });
});

/** tokenizer.bin of the 259 fixed tokens and these. */
function tokenizerBin(tokens: readonly (readonly [string, number])[]): Buffer {
  const fixed = Array.from({ length: 259 }, () => ['?', 0] as const);
  const parts = [...fixed, ...tokens].map(([text, score]) => {
    const bytes = Buffer.from(text);
    const head = Buffer.alloc(8);
    head.writeFloatLE(score);
    head.writeInt32LE(bytes.length, 4);
    return Buffer.concat([head, bytes]);
  });
  return Buffer.concat([Buffer.alloc(4), ...parts]);
}

describe('a llama2.c tokenizer', () => {
  const tokens = [
    ...([
      [' a', -1],
      ['ab', -2],
      [' ab', -3],
      [' ', -4],
      ['a', -5],
      ['b', -6],
      ['\ufeff', -7],
    ] as const),
  ];
  const bytes = tokenizerBin(tokens);

  it('gives back vocabulary and merges, best score and longest left part first', () => {
    expect(readLlama2cTokenizer(bytes, 266)).toMatchObject({
      model: {
        vocab: {
          '<unk>': 0,
          '<s>': 1,
          '<0x00>': 3,
          '<0xFF>': 258,
          '▁a': 259,
          b: 264,
          '\ufeff': 265,
        },
        merges: [
          ['▁', 'a'],
          ['a', 'b'],
          ['▁a', 'b'],
          ['▁', 'ab'],
        ],
      },
    });
  });

  it('refuses cut files and tokens that are there twice', () => {
    expect(() => readLlama2cTokenizer(bytes, 267)).toThrow(ImportError);
    expect(() => readLlama2cTokenizer(bytes.subarray(0, -1), 266)).toThrow(ImportError);
    const doubled = tokenizerBin([...tokens, ['ab', -7]]);
    expect(() => readLlama2cTokenizer(doubled, 267)).toThrow(/same text/);
  });
});

it('converts to the same bytes every time', () => {
  const data = Buffer.concat([
    counting([8, 3, 1, 2, 1, 261, 2]),
    tokenizerBin([
      ['a', -1],
      ['b', -2],
    ]),
  ]);
  const flat = () => [...convert(data)].map(([name, parts]) => [name, Buffer.concat(parts)]);
  expect(flat()).toEqual(flat());
  expect(flat().map(([name]) => name)).toEqual([
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
});
