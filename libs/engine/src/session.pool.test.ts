import { describe, expect, it } from 'vitest';
import { createTinyModel } from '../test/tiny.model.ts';
import { type SessionLease, SessionPool } from './session.pool.ts';

const CONTEXT = 256;
const model = createTinyModel({ config: { max_position_embeddings: CONTEXT } });
const tokensFrom = (first: number, length: number) =>
  Array.from({ length }, (_, i) => (first + i) % 96);

function createPool(options: { budgetTokens?: number; idleSessions?: number } = {}): SessionPool {
  const { budgetTokens = 4 * CONTEXT, idleSessions = 4 } = options;
  return new SessionPool({ model, contextLength: CONTEXT, budgetTokens, idleSessions });
}

function take(pool: SessionPool, tokens: readonly number[], reserve = tokens.length): SessionLease {
  const lease = pool.take({ tokens, contextLength: CONTEXT, reserve, share: true });
  if (lease === null) throw new Error('there is no memory');
  return lease;
}

/** Reads the tokens that the session lacks, and gives it back. */
async function read(pool: SessionPool, tokens: readonly number[]): Promise<number> {
  const lease = take(pool, tokens);
  const found = lease.session.length;
  await lease.session.append(tokens.slice(found));
  pool.keep(lease, tokens);
  return found;
}

describe('memory', () => {
  it('is reserved in pages, grows, and is given back', () => {
    const pool = createPool();
    const lease = take(pool, tokensFrom(0, 70));
    expect(pool.reservedTokens).toBe(128);
    expect(pool.grow(lease, 128)).toBe(true);
    expect(pool.reservedTokens).toBe(128);
    expect(pool.grow(lease, 129)).toBe(true);
    expect(pool.reservedTokens).toBe(192);
    pool.free(lease);
    expect(pool.reservedTokens).toBe(0);
  });

  it('is never more than the budget, but always enough for one context', () => {
    const pool = createPool({ budgetTokens: 1 });
    expect(pool.budgetTokens).toBe(CONTEXT);
    const lease = take(pool, tokensFrom(0, 100));
    const tokens = tokensFrom(0, 129);
    expect(pool.take({ tokens, contextLength: CONTEXT, reserve: 129, share: true })).toBeNull();
    const other = take(pool, tokensFrom(0, 128));
    expect(pool.grow(lease, 129)).toBe(false);
    expect(pool.reservedTokens).toBe(CONTEXT);
    pool.free(other);
    expect(pool.grow(lease, CONTEXT)).toBe(true);
  });

  it('of what is idle goes to whoever needs it, the longest unused first', async () => {
    const pool = createPool({ budgetTokens: 256 });
    await read(pool, tokensFrom(0, 64));
    await read(pool, tokensFrom(30, 64));
    pool.free(take(pool, tokensFrom(60, 150), 192));
    expect(pool.reservedTokens).toBe(64);
    expect(await read(pool, tokensFrom(30, 64))).toBe(63);
    pool.clear();
    expect(pool.reservedTokens).toBe(0);
  });

  it('of so many idle sessions is kept at most', async () => {
    const pool = createPool({ idleSessions: 1 });
    await read(pool, tokensFrom(0, 64));
    await read(pool, tokensFrom(30, 64));
    expect(pool.reservedTokens).toBe(64);
    expect(await read(pool, tokensFrom(0, 64))).toBe(0);
  });
});

describe('a beginning that is in memory', () => {
  it('is found, the longest one, but never all of the tokens', async () => {
    const pool = createPool();
    await read(pool, tokensFrom(0, 40));
    await read(pool, [...tokensFrom(0, 18), ...tokensFrom(50, 20)]);
    expect(await read(pool, tokensFrom(0, 40))).toBe(39);
    expect(await read(pool, tokensFrom(0, 60))).toBe(40);
  });

  it('is left to its own conversation when little is shared', async () => {
    const pool = createPool();
    const conversation = tokensFrom(0, 90);
    await read(pool, conversation);
    expect(await read(pool, [...tokensFrom(0, 20), 95, 94])).toBe(0);
    expect(await read(pool, tokensFrom(0, 15))).toBe(0);
    expect(await read(pool, [...conversation, 7])).toBe(90);
  });

  it('is not used when it must not be', async () => {
    const pool = createPool();
    await read(pool, tokensFrom(0, 40));
    const use = { tokens: tokensFrom(0, 40), contextLength: CONTEXT, reserve: 40 };
    const lease = pool.take({ ...use, share: false });
    expect(lease?.session.length).toBe(0);
  });
});

it('a model with long-rope gets short sessions for what stays short', async () => {
  const factors = Array(4).fill(2);
  const scaling = { type: 'longrope', short_factor: factors, long_factor: factors };
  const config = {
    max_position_embeddings: CONTEXT,
    original_max_position_embeddings: 64,
    rope_scaling: { ...scaling, original_max_position_embeddings: 64 },
  };
  const longrope = createTinyModel({ config });
  const options = { model: longrope, contextLength: CONTEXT, budgetTokens: 1024, idleSessions: 4 };
  const pool = new SessionPool(options);
  const tokens = tokensFrom(0, 40);
  const lease = pool.take({ tokens, contextLength: 64, reserve: 64, share: true });
  expect(lease?.session.contextLength).toBe(64);
  await lease?.session.append(tokens);
  if (lease !== null) pool.keep(lease, tokens);
  const long = pool.take({ tokens, contextLength: 65, reserve: 64, share: true });
  expect(long?.session).toMatchObject({ contextLength: CONTEXT, length: 0 });
  const short = pool.take({ tokens, contextLength: 50, reserve: 50, share: true });
  expect(short?.session).toMatchObject({ contextLength: 64, length: 39 });
});
