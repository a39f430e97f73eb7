import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTinyModel } from '../test/tiny.model.ts';
import { TINY_VOCABULARY_SIZE, tinyTokenizerJson } from '../test/tiny.tokenizer.ts';
import { generate } from './generate.ts';
import { type BatchOptions, type BatchRequest, GenerationBatch } from './generation.batch.ts';
import type { GeneratedPiece } from './generation.sequence.ts';
import { createTokenizer } from './tokenizer.ts';

const CONTEXT = 192;
const createModel = (endToken: number | null, format: 'f32' | 'u8' = 'f32') =>
  createTinyModel({
    format,
    config: {
      vocab_size: TINY_VOCABULARY_SIZE,
      eos_token_id: endToken,
      tie_word_embeddings: false,
      max_position_embeddings: CONTEXT,
    },
    threads: 2,
  });
const model = createModel(null);
const tokenizer = createTokenizer({ tokenizerJson: tinyTokenizerJson(), bosTokenId: 1 });
const ROOMY = 64 * CONTEXT * model.kvCacheBytes(1);

function createBatch(change: Partial<BatchOptions> = {}): GenerationBatch {
  const keyValueBytes = ROOMY;
  return new GenerationBatch({
    ...{ model, tokenizer, contextLength: CONTEXT, sequences: 4, keyValueBytes },
    ...change,
  });
}

const request = (change: Partial<BatchRequest> = {}): BatchRequest => ({
  prompt: tokenizer.encode('once'),
  maxTokens: 12,
  ...change,
});

/** @param most tokens after which the reader leaves. */
async function finish(pieces: AsyncIterable<GeneratedPiece>, most = Number.POSITIVE_INFINITY) {
  let text = '';
  const logprobs: number[] = [];
  const tokenIds: number[] = [];
  let finishReason: string | null = null;
  for await (const piece of pieces) {
    text += piece.text;
    if (piece.tokenId !== null) tokenIds.push(piece.tokenId);
    if (piece.logprob !== undefined) logprobs.push(piece.logprob.logprob);
    finishReason = piece.finishReason;
    if (tokenIds.length >= most) break;
  }
  return { text, tokenIds, logprobs, finishReason };
}

const requests = fc.record({
  prompt: fc.array(fc.integer({ min: 3, max: TINY_VOCABULARY_SIZE - 1 }), {
    minLength: 1,
    maxLength: CONTEXT,
  }),
  maxTokens: fc.integer({ min: 0, max: 150 }),
  temperature: fc.constantFrom(0, 0.7, 1.5),
  topP: fc.constantFrom(1, 0.8),
  topK: fc.constantFrom(0, 5),
  frequencyPenalty: fc.constantFrom(0, 0.5),
  repetitionPenalty: fc.constantFrom(1, 1.2),
  logprobs: fc.constantFrom(undefined, 2),
  seed: fc.integer({ min: 0, max: 1000 }),
  stop: fc.constantFrom([], ['a'], ['bc', 'x']),
});

describe('sequences generated together', () => {
  it.each(['f32', 'u8'] as const)(
    'of %s weights get the tokens they would get alone',
    async (format) => {
      const contexts = fc.integer({ min: 1, max: 3 });
      const arrival = fc.record({
        wanted: requests,
        group: fc.constantFrom(undefined, 'many'),
        /** Turns of the event loop after which it comes. */
        afterTurns: fc.integer({ min: 0, max: 5 }),
        leavesAfter: fc.constantFrom(Number.POSITIVE_INFINITY, 1, 8),
      });
      const arrivals = fc.array(arrival, { minLength: 1, maxLength: 9 });
      const ending = createModel(260, format);
      await fc.assert(
        fc.asyncProperty(arrivals, contexts, async (all, budgetContexts) => {
          const keyValueBytes = budgetContexts * CONTEXT * model.kvCacheBytes(1);
          const batch = createBatch({ model: ending, keyValueBytes });
          const together = await Promise.all(
            all.map(async ({ wanted, group, afterTurns, leavesAfter }) => {
              for (let turn = 0; turn < afterTurns; turn++) await new Promise(setImmediate);
              return finish(batch.generate({ ...wanted, group }), leavesAfter);
            }),
          );
          const alone = await Promise.all(
            all.map(({ wanted, leavesAfter }) =>
              finish(generate({ model: ending, tokenizer, ...wanted }), leavesAfter),
            ),
          );
          expect(together).toEqual(alone);
          const { runningSequences, waitingSequences } = batch.statistics;
          expect(runningSequences + waitingSequences).toBe(0);
          batch.close();
          expect(batch.statistics.keyValueBytes).toBe(0);
        }),
        { numRuns: 25 },
      );
    },
  );

  it('give up memory to older ones and are read again', async () => {
    const batch = createBatch({ keyValueBytes: 2 * CONTEXT * model.kvCacheBytes(1) });
    const wanted = [1, 2, 3].map((seed) => request({ seed, temperature: 1, maxTokens: 150 }));
    const together = await Promise.all(wanted.map((one) => finish(batch.generate(one))));
    expect(batch.statistics.preemptions).toBeGreaterThan(0);
    const alone = wanted.map((one) => finish(generate({ model, tokenizer, ...one })));
    expect(together).toEqual(await Promise.all(alone));
  });

  it('are bounded in number and in memory', async () => {
    const budget = 2 * CONTEXT * model.kvCacheBytes(1);
    const batch = createBatch({ sequences: 3, keyValueBytes: budget });
    let most = 0;
    const watch = async (seed: number) => {
      for await (const _ of batch.generate(request({ seed, temperature: 1, maxTokens: 60 }))) {
        const { runningSequences, keyValueBytes } = batch.statistics;
        most = Math.max(most, runningSequences);
        expect(keyValueBytes).toBeLessThanOrEqual(budget);
      }
    };
    await Promise.all([1, 2, 3, 4, 5, 6, 7].map(watch));
    expect(most).toBe(3);
  });

  it('take turns with those of another group', async () => {
    const batch = createBatch({ sequences: 2 });
    const ended: string[] = [];
    const run = async (group: string, seed: number) => {
      await finish(batch.generate(request({ group, seed, temperature: 1, maxTokens: 40 })));
      ended.push(group);
    };
    const many = [1, 2, 3, 4, 5, 6].map((seed) => run('many', seed));
    await new Promise(setImmediate);
    await Promise.all([...many, run('one', 7)]);
    expect(ended.indexOf('one')).toBeLessThan(4);
  });

  it('go on while others come and go', async () => {
    const batch = createBatch();
    const order: string[] = [];
    const note = async (name: string, pieces: AsyncIterable<GeneratedPiece>) => {
      for await (const _ of pieces) order.push(name);
    };
    const running = note('running', batch.generate(request({ maxTokens: 150 })));
    while (order.length < 3) await new Promise(setImmediate);
    const prompt = Array.from({ length: 180 }, (_, i) => 3 + (i % 200));
    const late = note('late', batch.generate(request({ prompt, maxTokens: 2 })));
    await Promise.all([running, late]);
    expect(order.lastIndexOf('running')).toBeGreaterThan(order.indexOf('late'));
  });
});

describe('a sequence', () => {
  it('ends at once and frees its memory when its signal is aborted', async () => {
    const batch = createBatch();
    const leaving = new AbortController();
    const other = finish(batch.generate(request({ maxTokens: 30 })));
    let pieces = 0;
    const cancelled = (async () => {
      for await (const _ of batch.generate(request({ maxTokens: 150, signal: leaving.signal }))) {
        if (++pieces === 3) leaving.abort();
      }
    })();
    await expect(cancelled).rejects.toMatchObject({ reason: 'Cancelled' });
    expect(pieces).toBe(3);
    expect(batch.statistics.runningSequences).toBeLessThanOrEqual(1);
    expect((await other).tokenIds).toHaveLength(30);
    const { signal } = leaving;
    await expect(finish(batch.generate(request({ signal })))).rejects.toMatchObject({
      reason: 'Cancelled',
    });
  });

  it('ends when its reader leaves, running or waiting', async () => {
    const batch = createBatch({ sequences: 1 });
    const running = batch.generate(request({ maxTokens: 150 }));
    await running.next();
    const leaving = new AbortController();
    const waiting = finish(batch.generate(request({ signal: leaving.signal })));
    await new Promise(setImmediate);
    expect(batch.statistics).toMatchObject({ runningSequences: 1, waitingSequences: 1 });
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ reason: 'Cancelled' });
    await running.return(undefined);
    expect(batch.statistics).toMatchObject({
      runningSequences: 0,
      waitingSequences: 0,
      keyValueBytes: 0,
    });
  });

  it('pauses while its reader is slow, without holding up others', async () => {
    const batch = createBatch();
    const slow = batch.generate(request({ maxTokens: 170 }));
    await slow.next();
    const other = await finish(batch.generate(request({ maxTokens: 170 })));
    expect(other.tokenIds.length).toBeGreaterThan(100);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(batch.statistics.runningSequences).toBe(1);
    const rest = await finish(slow);
    expect(rest.tokenIds.length).toBe(other.tokenIds.length - 1);
  });

  it('finds the beginning it shares with an earlier one in memory', async () => {
    const batch = createBatch();
    const first = await finish(
      batch.generate(request({ prompt: tokenizer.encode('a'.repeat(40)) })),
    );
    const history = [...tokenizer.encode('a'.repeat(40)), ...first.tokenIds];
    const next = request({ prompt: [...history, ...tokenizer.encode('more', { special: false })] });
    const answer = await finish(batch.generate(next));
    expect(answer).toEqual(await finish(generate({ model, tokenizer, ...next })));
    // The last token drawn was never read.
    expect(batch.statistics.sharedTokens).toBe(history.length - 1);
  });

  it('has its prompt scored as the model scores it, read in whatever blocks', async () => {
    const batch = createBatch();
    const prompt = Array.from({ length: 100 }, (_, i) => 3 + ((i * 37) % 250));
    const others = finish(batch.generate(request({ maxTokens: 100 })));
    const pieces: GeneratedPiece[] = [];
    const scored = request({ prompt, maxTokens: 1, logprobs: 1, scorePrompt: true });
    for await (const piece of batch.generate(scored)) pieces.push(piece);
    await others;
    const scores = pieces[0]?.promptScores ?? [];
    expect(scores.map(({ tokenId }) => tokenId)).toEqual(prompt);
    expect(scores[0]).toMatchObject({ logprob: null, top: [] });
    const losses = await model.createSession(CONTEXT).score(prompt);
    scores.slice(1).forEach(({ logprob, top }, i) => {
      expect(logprob).toBeCloseTo(-(losses[i] ?? Number.NaN), 4);
      expect(top).toHaveLength(1);
    });
    expect(pieces.slice(1).every((piece) => piece.promptScores === undefined)).toBe(true);
  });

  it.each<[Partial<BatchRequest>, string]>([
    [{ prompt: tokenizer.encode('a'.repeat(CONTEXT)) }, 'ContextExceeded'],
    [{ prompt: [] }, 'BadArgument'],
    [{ prompt: [1, TINY_VOCABULARY_SIZE] }, 'BadToken'],
    [{ prompt: [1, -1] }, 'BadToken'],
    [{ maxTokens: -1 }, 'BadArgument'],
    [{ logprobs: 21 }, 'BadArgument'],
    [{ logitBias: new Map([[TINY_VOCABULARY_SIZE, 1]]) }, 'BadToken'],
    [{ temperature: -1 }, 'BadArgument'],
  ])('is refused when it cannot be: %#', async (change, reason) => {
    const batch = createBatch();
    await expect(finish(batch.generate(request(change)))).rejects.toMatchObject({ reason });
    expect(batch.statistics).toMatchObject({ runningSequences: 0, waitingSequences: 0 });
  });
});

it('ends all sequences when the batch or the model is closed', async () => {
  const batch = createBatch({ sequences: 1 });
  const texts = [1, 2].map((seed) => finish(batch.generate(request({ seed, maxTokens: 150 }))));
  const settled = Promise.allSettled(texts);
  await new Promise(setImmediate);
  batch.close();
  for (const text of await settled) {
    expect(text).toMatchObject({ status: 'rejected', reason: { reason: 'ModelClosed' } });
  }
  const closing = createTinyModel({ config: { vocab_size: TINY_VOCABULARY_SIZE } });
  const doomed = createBatch({ model: closing, contextLength: 64 });
  closing.close();
  await expect(finish(doomed.generate(request()))).rejects.toMatchObject({ reason: 'ModelClosed' });
});
