import { describe, expect, it } from 'vitest';
import { createTinyModel } from '../test/tiny.model.ts';
import { perplexity } from './perplexity.ts';
import { sampleRows } from './sample.rows.ts';

const model = createTinyModel({ threads: 2 });

describe('perplexity', () => {
  it('is the exponential of the mean loss over all rows', async () => {
    const rows = [
      [1, 5, 9, 20],
      [1, 70, 3],
    ];
    const losses: number[] = [];
    for (const row of rows) {
      const logits = await model.createSession().allLogits(row);
      for (let i = 0; i + 1 < row.length; i++) {
        const own = Array.from(logits.subarray(i * 96, (i + 1) * 96));
        const total = own.reduce((sum, logit) => sum + Math.exp(logit), 0);
        losses.push(Math.log(total) - (own[row[i + 1] ?? 0] ?? 0));
      }
    }
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    const done: number[] = [];
    const result = await perplexity(model, rows, {
      onProgress: ({ rowsDone }) => done.push(rowsDone),
    });
    expect(result).toMatchObject({ rows: 2, tokens: 5 });
    expect(result.perplexity).toBeCloseTo(Math.exp(mean), 4);
    expect(done).toEqual([1, 2]);
  });

  it.each([
    [[], 'BadArgument'],
    [[[1]], 'BadArgument'],
    [[[1, 96]], 'BadToken'],
    [[new Array<number>(65).fill(1)], 'ContextExceeded'],
  ])('refuses rows %#', async (rows, reason) => {
    await expect(perplexity(model, rows)).rejects.toMatchObject({ reason });
  });

  it('can be cancelled', async () => {
    const options = { signal: AbortSignal.abort() };
    await expect(perplexity(model, [[1, 2]], options)).rejects.toMatchObject({
      reason: 'Cancelled',
    });
  });
});

describe('sampleRows', () => {
  it('gives the same rows for a seed, however many are sampled', async () => {
    const rows = await sampleRows(model, { rows: 35, rowTokens: 12, seed: 4 });
    expect(rows.map((row) => row.length)).toEqual(new Array(35).fill(12));
    expect(rows.every((row) => row[0] === 1)).toBe(true);
    expect(new Set(rows.map(String)).size).toBe(35);
    const fewer = await sampleRows(model, { rows: 3, rowTokens: 12, seed: 4 });
    expect(fewer).toEqual(rows.slice(0, 3));
    const others = await sampleRows(model, { rows: 3, rowTokens: 12, seed: 5 });
    expect(others).not.toEqual(fewer);
  });

  it('writes what its own model finds likely', async () => {
    const rows = await sampleRows(model, { rows: 8, rowTokens: 40, seed: 1 });
    const own = await perplexity(model, rows);
    const foreign = await perplexity(createTinyModel({ seed: 99 }), rows);
    expect(own.perplexity).toBeLessThan(foreign.perplexity);
  });

  it('stops when its time is up', async () => {
    let clock = 0;
    const rows = await sampleRows(model, {
      rows: 40,
      rowTokens: 30,
      seed: 1,
      timeBudgetMs: 10,
      now: () => clock++,
    });
    expect(rows.length).toBe(32);
    const [first = []] = rows;
    expect(first.length).toBeGreaterThanOrEqual(2);
    expect(first.length).toBeLessThan(30);
    expect(rows.every((row) => row.length === first.length)).toBe(true);
  });

  it.each([
    { rows: 0, rowTokens: 5 },
    { rows: 1, rowTokens: 1 },
  ])('refuses %j', async (sizes) => {
    await expect(sampleRows(model, { ...sizes, seed: 1 })).rejects.toMatchObject({
      reason: 'BadArgument',
    });
  });
});
