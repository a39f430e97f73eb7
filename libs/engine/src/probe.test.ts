import { describe, expect, it } from 'vitest';
import { machineIsas, withIsa } from '../test/instruction.sets.ts';
import { createTinyModel } from '../test/tiny.model.ts';
import { createProbe, defaultProbePrompt, FINGERPRINT_TOLERANCE, runProbe } from './probe.ts';
import { measureThroughput } from './throughput.ts';

describe('probes', () => {
  it.each(['f32', 'u8', 'u4'] as const)(
    'of %s weights hold on every instruction set and thread count',
    async (format) => {
      const probe = await createProbe(createTinyModel({ format }));
      expect(probe.fingerprint.tokenIds.length).toBe(32);
      for (const isa of machineIsas) {
        await withIsa(isa, async () => {
          const result = await runProbe(createTinyModel({ format, threads: 3 }), probe);
          expect(result.matches).toBe(true);
          // What the tolerance's documentation says was measured, with a margin.
          expect(result.deviation).toBeLessThan(FINGERPRINT_TOLERANCE / 100);
          expect(result.generatedTokens).toBe(probe.generateTokens);
        });
      }
    },
  );

  it('catch other weights', async () => {
    const probe = await createProbe(createTinyModel());
    const result = await runProbe(createTinyModel({ seed: 8 }), probe);
    expect(result.matches).toBe(false);
    expect(result.deviation).toBeGreaterThan(10 * FINGERPRINT_TOLERANCE);
  });

  it('catch one wrong tensor among many', async () => {
    const probe = await createProbe(createTinyModel());
    const config = { rope_theta: 20_000 };
    expect((await runProbe(createTinyModel({ config }), probe)).matches).toBe(false);
  });

  it('list the likeliest tokens first', async () => {
    const { fingerprint } = await createProbe(createTinyModel());
    expect(fingerprint.logits).toEqual(fingerprint.logits.toSorted((a, b) => b - a));
    expect(fingerprint.standardDeviation).toBeGreaterThan(0);
  });

  it('refuse a prompt that fills the context, and a token that does not exist', async () => {
    const model = createTinyModel();
    const prompt = new Array<number>(64).fill(1);
    await expect(createProbe(model, prompt)).rejects.toMatchObject({ reason: 'ContextExceeded' });
    const probe = await createProbe(model);
    const fingerprint = { ...probe.fingerprint, tokenIds: [96], logits: [0] };
    await expect(runProbe(model, { ...probe, fingerprint })).rejects.toMatchObject({
      reason: 'BadToken',
    });
  });

  it('have a default prompt for any vocabulary and context', () => {
    const prompt = defaultProbePrompt(createTinyModel());
    expect(prompt[0]).toBe(1);
    expect(prompt.length).toBe(32);
    expect(new Set(prompt).size).toBeGreaterThan(25);
    for (const vocab_size of [1, 3, 1000]) {
      const config = { vocab_size, bos_token_id: null, eos_token_id: null };
      const tokens = defaultProbePrompt(createTinyModel({ config }));
      expect(tokens.every((token) => token >= 0 && token < vocab_size)).toBe(true);
    }
    const config = { max_position_embeddings: 1 };
    expect(defaultProbePrompt(createTinyModel({ config })).length).toBe(1);
  });
});

it('measureThroughput divides tokens by the time of each part', async () => {
  // The prompt takes 500 ms; of the tokens one takes 900 ms and the others 100 ms each.
  const tokenMs = [100, 900, 100, 100, 100, 100, 100, 100];
  const times = [0, 500];
  let now = 500;
  for (const ms of tokenMs) {
    times.push(now);
    now += ms;
    times.push(now);
  }
  times.push(now);
  const throughput = await measureThroughput(createTinyModel(), {
    promptTokens: [1, 2, 3, 4, 5],
    generateTokens: tokenMs.length,
    now: () => times.shift() ?? Number.NaN,
  });
  expect(throughput).toEqual({
    promptTokens: 5,
    generatedTokens: 8,
    prefillTokensPerSecond: 10,
    decodeTokensPerSecond: 5,
    p95TokenSeconds: 0.9,
  });
});
