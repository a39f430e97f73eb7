import { describe, expect, it } from 'vitest';
import { createTinyModel } from '../test/tiny.model.ts';

const TOKENS = Array.from({ length: 600 }, (_, i) => i % 90);
const createModel = () => createTinyModel({ config: { max_position_embeddings: 700 } });

describe('a session', () => {
  it.each([
    ['append', 'append'],
    ['score', 'score'],
    ['allLogits', 'allLogits'],
  ] as const)(
    'ends %s when its signal says so, keeping whole blocks, and goes on',
    async (_, call) => {
      const model = createModel();
      const session = model.createSession();
      const ahead = session.score(TOKENS.slice(0, 50)).catch(() => undefined);
      const stop = new AbortController();
      const stopped = session[call](TOKENS, { signal: stop.signal });
      stop.abort(new Error('enough'));
      await expect(stopped).rejects.toMatchObject({
        reason: 'Cancelled',
        cause: new Error('enough'),
      });
      await ahead;
      session.truncate(0);
      const again = await session.append(TOKENS);
      expect(session.length).toBe(600);
      expect(again).toEqual(await model.createSession().append(TOKENS));
      model.close();
    },
  );

  it('says how many tokens do not fit, and takes what does', async () => {
    const session = createModel().createSession(10);
    await expect(session.append(TOKENS.slice(0, 11))).rejects.toMatchObject({
      reason: 'ContextExceeded',
      message: '11 tokens do not fit a context of 10 that holds 0; shorten the text',
    });
    await session.append(TOKENS.slice(0, 10));
    expect(session.room).toBe(0);
  });
});

it('counts the KV cache in the format that its sessions have', () => {
  const float = createModel();
  const quantized = createTinyModel({ format: 'u8' });
  expect(float.keyValueFormat).toBe('f32');
  expect(quantized.keyValueFormat).toBe('f16');
  expect(float.kvCacheBytes(10)).toBe(2 * quantized.kvCacheBytes(10));
});
