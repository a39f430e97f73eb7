import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tinyTokenizerJson } from '../test/tiny.tokenizer.ts';
import { type BosEvidence, mustAddBos } from './bos.rule.ts';
import { createTokenizer } from './tokenizer.ts';

const tokenizerConfig = { bos_token: '<s>', eos_token: { content: '</s>' } };
const tiny = () => createTokenizer({ tokenizerJson: tinyTokenizerJson(), tokenizerConfig });

describe('createTokenizer', () => {
  it('puts begin-of-sequence in front and knows the end', () => {
    const tokenizer = tiny();
    expect(tokenizer).toMatchObject({ bosTokenId: 1, eosTokenId: 2 });
    expect(tokenizer.encode('ab')).toEqual([1, 259, 260, 261]);
    expect(tokenizer.encode('ab', { special: false })).toEqual([259, 260, 261]);
    expect(tokenizer.encode('')).toEqual([1]);
    expect(tokenizer.decode([1, 259, 260, 261, 2])).toBe('ab');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode([1])).toBe('');
  });

  it('does not tidy up spaces', () => {
    const tokenizer = tiny();
    expect(tokenizer.decode(tokenizer.encode('a , b .'))).toBe('a , b .');
  });

  it("falls back to config.json's token ids", () => {
    const tokenizer = createTokenizer({
      tokenizerJson: tinyTokenizerJson(),
      bosTokenId: 1,
      eosTokenIds: [2],
    });
    expect(tokenizer).toMatchObject({ bosTokenId: 1, eosTokenId: 2 });
    expect(tokenizer.encode('a')).toEqual([1, 259, 260]);
  });

  it('leaves begin-of-sequence to a post-processor that adds it', () => {
    const tokenizerJson = {
      ...tinyTokenizerJson(),
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<s>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
        ],
        pair: [],
        special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
      },
    };
    const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig });
    expect(tokenizer.encode('a')).toEqual([1, 259, 260]);
  });

  it.each([
    [{ tokenizerJson: {} }, /tokenizer.json: model/],
    [{ tokenizerJson: null }, /tokenizer.json/],
    [{ tokenizerJson: { model: { type: 'Nonsense' } } }, /tokenizer.json cannot be used/],
    [{ tokenizerJson: tinyTokenizerJson(), tokenizerConfig: { bos_token: 3 } }, /bos_token/],
  ])('refuses bad files %#', (files, message) => {
    expect(() => createTokenizer(files)).toThrow(
      expect.objectContaining({
        reason: 'BadTokenizer',
        message: expect.stringMatching(message),
      }),
    );
  });
});

describe('text streams', () => {
  const anyText = fc.string({ unit: 'binary', maxLength: 20 });

  it('give the whole text, never half a character', () => {
    const tokenizer = tiny();
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = tokenizer.encode(text);
        const stream = tokenizer.stream();
        const pieces = ids.map((id) => stream.push(id));
        expect(pieces.join('') + stream.flush()).toBe(tokenizer.decode(ids));
        if (!text.includes('\uFFFD')) expect(pieces.join('')).not.toContain('\uFFFD');
      }),
    );
  });

  it('give any bytes as the decoder does', () => {
    const tokenizer = tiny();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        const ids = Array.from(bytes, (byte) => byte + 3);
        const stream = tokenizer.stream();
        const text = ids.map((id) => stream.push(id)).join('') + stream.flush();
        expect(text).toBe(
          new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes).replace(/^ /, ''),
        );
      }),
    );
  });

  it('continue a text', () => {
    const tokenizer = tiny();
    fc.assert(
      fc.property(anyText, fc.nat(60), (text, cut) => {
        const ids = tokenizer.encode(`ab${text}`);
        const before = ids.slice(0, cut);
        const shown = tokenizer.stream();
        const first = before.map((id) => shown.push(id)).join('');
        const stream = tokenizer.stream(before);
        const rest =
          ids
            .slice(cut)
            .map((id) => stream.push(id))
            .join('') + stream.flush();
        expect(first + rest).toBe(tokenizer.decode(ids));
      }),
    );
  });
});

describe('mustAddBos', () => {
  const evidence: BosEvidence = {
    addBosToken: undefined,
    tokenizerClass: undefined,
    bosNamed: true,
    postProcessorAddsBos: false,
    sentencePiece: false,
  };

  it.each<[string, Partial<BosEvidence>, boolean]>([
    ['Llama 2, transformers 4', { tokenizerClass: 'LlamaTokenizer', sentencePiece: true }, true],
    ['transformers 5', { tokenizerClass: 'TokenizersBackend', sentencePiece: true }, true],
    ['Llama 3', { postProcessorAddsBos: true }, false],
    ['Phi-3', { tokenizerClass: 'LlamaTokenizer', addBosToken: false, sentencePiece: true }, false],
    ['Qwen2', { bosNamed: false, tokenizerClass: 'Qwen2Tokenizer' }, false],
    ['GPT-2 kind', { tokenizerClass: 'GPT2Tokenizer' }, false],
    ['stated', { addBosToken: true }, true],
  ])('%s', (_, change, expected) => {
    expect(mustAddBos({ ...evidence, ...change })).toBe(expected);
  });
});
