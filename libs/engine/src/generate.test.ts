import { describe, expect, it } from 'vitest';
import { createTinyModel } from '../test/tiny.model.ts';
import { TINY_VOCABULARY_SIZE, tinyTokenizerJson } from '../test/tiny.tokenizer.ts';
import { complete, type GenerateOptions, generate } from './generate.ts';
import { argmax } from './sampler.ts';
import { createTokenizer } from './tokenizer.ts';

const model = createTinyModel({
  config: { vocab_size: TINY_VOCABULARY_SIZE, eos_token_id: null, tie_word_embeddings: false },
});
const tokenizer = createTokenizer({ tokenizerJson: tinyTokenizerJson(), bosTokenId: 1 });
const options = (change: Partial<GenerateOptions> = {}): GenerateOptions => ({
  model,
  tokenizer,
  prompt: 'once',
  maxTokens: 12,
  ...change,
});

describe('generate', () => {
  it('continues greedily as the model says', async () => {
    const { tokenIds, text, finishReason } = await complete(options());
    const session = model.createSession();
    const expected: number[] = [];
    let logits = await session.append(tokenizer.encode('once'));
    while (expected.length < 12) {
      expected.push(argmax(logits));
      logits = await session.append(expected.slice(-1));
    }
    expect(tokenIds).toEqual(expected);
    expect(finishReason).toBe('length');
    const whole = tokenizer.decode([...tokenizer.encode('once'), ...expected]);
    expect(`once${text}`).toBe(whole);
  });

  it('repeats itself for a seed only', async () => {
    const ids = async (seed: number) =>
      (await complete(options({ temperature: 1.5, seed }))).tokenIds;
    expect(await ids(1)).toEqual(await ids(1));
    expect(await ids(1)).not.toEqual(await ids(2));
  });

  it('ends at an end-of-sequence token', async () => {
    const { tokenIds } = await complete(options());
    const third = tokenIds[2] ?? 0;
    const ending = createTinyModel({
      config: {
        vocab_size: TINY_VOCABULARY_SIZE,
        eos_token_id: [third],
        tie_word_embeddings: false,
      },
    });
    const ended = await complete(options({ model: ending }));
    expect(ended.tokenIds).toEqual(tokenIds.slice(0, tokenIds.indexOf(third)));
    expect(ended.finishReason).toBe('stop');
  });

  it('ends at a stop string and leaves it out', async () => {
    const { text } = await complete(options({ maxTokens: 30 }));
    const stop = text.slice(4, 6);
    const cut = await complete(options({ maxTokens: 30, stop: [stop] }));
    expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.finishReason).toBe('stop');
  });

  it('ends when the context is full', async () => {
    const prompt = tokenizer.encode('a'.repeat(60));
    const { tokenIds, finishReason } = await complete(options({ prompt, maxTokens: 100 }));
    expect(tokenIds.length).toBe(64 - prompt.length + 1);
    expect(finishReason).toBe('length');
  });

  it('ends when the context it was given is full', async () => {
    const prompt = tokenizer.encode('once');
    const contextLength = prompt.length + 3;
    const { tokenIds, finishReason } = await complete(options({ contextLength }));
    expect(tokenIds.length).toBe(4);
    expect(finishReason).toBe('length');
    const tooShort = complete(options({ contextLength: prompt.length - 1 }));
    await expect(tooShort).rejects.toMatchObject({ reason: 'ContextExceeded' });
  });

  it('marks the last piece, and only it', async () => {
    const reasons: unknown[] = [];
    for await (const piece of generate(options({ maxTokens: 2 }))) reasons.push(piece.finishReason);
    expect(reasons).toEqual([null, null, 'length']);
  });

  it('can be left and cancelled', async () => {
    const controller = new AbortController();
    let pieces = 0;
    const run = async () => {
      for await (const _ of generate(options({ signal: controller.signal }))) {
        pieces++;
        if (pieces === 3) controller.abort();
      }
    };
    await expect(run()).rejects.toMatchObject({ reason: 'Cancelled' });
    expect(pieces).toBe(3);
    for await (const _ of generate(options())) break;
  });

  it.each<[Partial<GenerateOptions>, string]>([
    [{ prompt: 'a'.repeat(70) }, 'ContextExceeded'],
    [{ prompt: [] }, 'BadArgument'],
    [{ prompt: [1, TINY_VOCABULARY_SIZE] }, 'BadToken'],
    [{ prompt: [1, -1] }, 'BadToken'],
    [{ maxTokens: -1 }, 'BadArgument'],
    [{ temperature: -1 }, 'BadArgument'],
  ])('refuses %j', async (change, reason) => {
    await expect(complete(options(change))).rejects.toMatchObject({ reason });
  });
});
