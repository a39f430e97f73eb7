import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  gpt2Tokenizer,
  llama2Tokenizer,
  llama3Tokenizer,
  metaspaceTokenizer,
  qwen2Tokenizer,
  smolTokenizer,
} from '../test/small.tokenizers.ts';
import { createTokenizer } from './tokenizer.ts';

const TEXTS = [
  "The dog's turn, ISN'T IT?",
  '  two\n\n  lines\t12345 \u0663\u0664\u00bd',
  'e\u0301te\u0301 \u00e9 Stra\u00dfe',
  '<|im_end|>\u4f60\u597d<|end|> x</s>a',
  '\ud83d\ude42\u0085\ufeff!',
  'a    b\u2581\u2581c',
];

/** Ids of the texts, as Hugging Face's tokenizers 0.23.2 (Rust; npm `tokenizers`) give them. */
const KINDS: readonly (readonly [string, () => unknown, readonly string[]])[] = [
  [
    'GPT-2',
    gpt2Tokenizer,
    [
      '84 260 281 263 258 269 44 32 73 83 78 39 84 32 73 84 63',
      '32 258 119 111 10 273 262 105 110 259 9 49 50 51 52 53 32 217 163 217 164 194 ' + '189',
      '101 204 129 116 101 204 129 32 261 32 83 116 114 264 283',
      '60 124 105 109 95 101 110 100 124 62 228 189 160 229 165 189 60 124 101 110 ' +
        '100 124 62 32 120 60 47 115 62 97',
      '240 159 153 130 194 133 239 187 191 33',
      '97 32 32 32 32 98 226 150 129 226 150 129 99',
    ],
  ],
  [
    'SmolLM',
    smolTokenizer,
    [
      '84 260 281 263 258 269 44 32 73 83 78 39 84 32 73 84 63',
      '32 258 119 111 10 273 262 105 110 259 9 49 50 51 52 53 32 217 163 217 164 194 ' + '189',
      '101 204 129 116 101 204 129 32 261 32 83 116 114 264 283',
      '286 228 189 160 229 165 189 60 124 101 110 100 124 62 32 120 60 47 115 62 97',
      '240 159 153 130 194 133 239 187 191 33',
      '97 32 32 32 32 98 226 150 129 226 150 129 99',
    ],
  ],
  [
    'Llama 3',
    llama3Tokenizer,
    [
      '84 260 281 263 258 269 44 32 73 83 78 39 84 32 73 84 63',
      '32 258 119 111 10 10 32 262 105 110 259 9 49 50 51 52 53 32 217 163 217 164 ' + '194 189',
      '101 204 129 116 101 204 129 32 261 32 83 116 114 264 283',
      '60 124 105 109 95 101 110 100 124 62 228 189 160 229 165 189 60 124 101 110 ' +
        '100 124 62 32 120 60 47 115 62 97',
      '240 159 153 130 194 133 239 187 191 33',
      '97 32 32 32 32 98 226 150 129 226 150 129 99',
    ],
  ],
  [
    'Qwen2',
    qwen2Tokenizer,
    [
      '84 260 281 263 258 269 44 32 73 83 78 39 84 32 73 84 63',
      '32 258 119 111 10 10 32 262 105 110 259 9 49 50 51 52 53 32 217 163 217 164 ' + '194 189',
      '261 116 261 32 261 32 83 116 114 264 283',
      '286 228 189 160 229 165 189 60 124 101 110 100 124 62 32 120 60 47 115 62 97',
      '240 159 153 130 194 133 239 187 191 33',
      '97 32 32 32 32 98 226 150 129 226 150 129 99',
    ],
  ],
  [
    'Llama 2',
    llama2Tokenizer,
    [
      '259 260 332 346 334 329 340 290 259 288 310 81 289 260 259 288 260 291',
      '326 329 271 270 13 13 326 281 265 272 331 12 300 294 297 296 299 259 220 166 ' +
        '220 167 197 192',
      '259 262 207 132 280 262 207 132 259 312 259 310 280 269 282 306 262',
      '259 63 127 265 276 98 262 272 285 127 65 231 192 163 232 168 192 349 259 274 2 ' + '259 282',
      '259 243 162 156 133 197 136 242 190 194 293',
      '259 282 330 268 326 266',
    ],
  ],
  [
    'Metaspace, first',
    () => metaspaceTokenizer({ prepend_scheme: 'first', split: false }),
    [
      '259 260 332 346 334 329 340 290 259 288 310 81 289 260 259 288 260 291',
      '326 280 271 270 13 13 326 281 265 272 331 12 300 294 297 296 299 259 220 166 ' +
        '220 167 197 192',
      '259 262 207 132 280 262 207 132 259 312 259 310 280 269 282 306 262',
      '259 63 127 265 276 98 262 272 285 127 65 231 192 163 232 168 192 349 274 2 282',
      '259 243 162 156 133 197 136 242 190 194 293',
      '259 282 330 268 326 266',
    ],
  ],
  [
    'Metaspace, split',
    () => metaspaceTokenizer({ prepend_scheme: 'always', split: true }),
    [
      '259 260 332 346 334 329 340 290 259 288 310 81 289 260 259 288 260 291',
      '259 329 271 270 13 13 259 333 265 272 331 12 300 294 297 296 299 259 220 166 ' +
        '220 167 197 192',
      '259 262 207 132 280 262 207 132 259 312 259 310 280 269 282 306 262',
      '259 63 127 265 276 98 262 272 285 127 65 231 192 163 232 168 192 349 259 274 2 ' + '259 282',
      '259 243 162 156 133 197 136 242 190 194 293',
      '259 282 259 259 259 259 268 259 259 266',
    ],
  ],
];

describe.each(KINDS)('%s', (_, tokenizerJson, expected) => {
  const tokenizer = createTokenizer({ tokenizerJson: tokenizerJson() });

  it('tokenizes as the reference does', () => {
    const ids = TEXTS.map((text) => tokenizer.encode(text, { special: false }).join(' '));
    expect(ids).toEqual(expected);
  });

  it('streams what it decodes, and never half a character', () => {
    const parts = fc.constantFrom(
      ' ',
      '\n',
      'the',
      ' dog',
      '12',
      'é',
      '你',
      '🙂',
      '👨‍👩‍👧',
      '<|im_end|>',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (list) => {
        const ids = tokenizer.encode(list.join(''), { special: false });
        const stream = tokenizer.stream();
        const pieces = ids.map((id) => stream.push(id));
        expect(pieces.join('') + stream.flush()).toBe(tokenizer.decode(ids));
        expect(pieces.join('')).not.toContain('\uFFFD');
      }),
    );
  });
});

it('special tokens written in a text are those tokens', () => {
  const tokenizer = createTokenizer({ tokenizerJson: qwen2Tokenizer() });
  const text = '<|im_start|>user\nthe dog<|im_end|>\n';
  const ids = tokenizer.encode(text, { special: false });
  const [first] = tokenizer.encode('<|im_start|>', { special: false });
  expect(ids[0]).toBe(first);
  expect(tokenizer.decode(ids)).toBe('user\nthe dog\n');
});

it('knows every token that ends a text', () => {
  const tokenizer = createTokenizer({
    tokenizerJson: llama3Tokenizer(),
    specialTokensMap: { bos_token: '<|begin_of_text|>', eos_token: { content: '<|end_of_text|>' } },
    generationConfig: { eos_token_id: [7, 9], temperature: 0.6 },
    eosTokenIds: [9, 11],
  });
  const end = tokenizer.encode('<|end_of_text|>', { special: false })[0] ?? -1;
  expect(tokenizer.eosTokenId).toBe(end);
  expect(tokenizer.endTokenIds).toEqual([end, 9, 11, 7]);
  // The post-processor puts it in front, and nothing else does.
  expect(tokenizer.encode('a')).toEqual([
    tokenizer.bosTokenId,
    ...tokenizer.encode('a', { special: false }),
  ]);
});
