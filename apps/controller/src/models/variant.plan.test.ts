import { type Model, type ModelSpec, modelSpecSchema } from '@entrofleet/protocol';
import { describe, expect, it } from 'vitest';
import { plannedStatus, retriedStatus, withVariant } from './variant.plan.ts';

const now = '2026-11-21T08:00:00.000Z';
const spec = (change: object = {}): ModelSpec =>
  modelSpecSchema.parse({ source: { path: '/m' }, variants: ['u8', 'rd'], ...change });

const quality = {
  sizeBytes: 1,
  weights: 1,
  codedWeights: 1,
  bitsPerWeight: 5.7,
  entropyBitsPerWeight: 5.6,
  sqnrDb: 40,
  perplexity: 3.4,
  sourcePerplexity: 2.8,
  perplexityRatio: 1.214,
  evaluation: { origin: 'x', rows: 1, tokens: 8 },
  withinBound: true,
};

function model(of: ModelSpec, ready: readonly string[] = []): Pick<Model, 'spec' | 'status'> {
  let status = plannedStatus({ spec: of, generation: 1, now }, undefined);
  for (const name of ready) {
    const to = { phase: 'Ready', progress: 1, artifactId: 'a'.repeat(64), quality } as const;
    status = withVariant({ spec: of, status }, { name, now, to });
  }
  return { spec: of, status };
}

const condition = (status: Model['status'], type: string) =>
  status.conditions.find((c) => c.type === type);

describe('plannedStatus', () => {
  it('starts every variant of a new model', () => {
    const { status } = model(spec());
    expect(status.variants.map((v) => [v.name, v.phase])).toEqual([
      ['u8', 'Pending'],
      ['rd-4.2', 'Pending'],
    ]);
    expect(condition(status, 'Ready')).toMatchObject({ status: 'False', reason: 'InProgress' });
    expect(condition(status, 'QualityBound')).toMatchObject({ status: 'Unknown' });
  });

  it('keeps variants whose work is the same, drops and adds others', () => {
    const next = spec({ variants: ['u8', 'u4'] });
    const { variants } = plannedStatus({ spec: next, generation: 2, now }, model(spec(), ['u8']));
    expect(variants.map((v) => [v.name, v.phase])).toEqual([
      ['u8', 'Ready'],
      ['u4-paper', 'Pending'],
    ]);
  });

  it.each([
    ['source', { source: { path: '/other' } }],
    ['evaluation', { evaluation: { rows: 3 } }],
    ['recipe', { variants: [{ name: 'u8', recipe: 'rd-5' }, 'rd'] }],
  ])('starts over when the %s changes', (_, change) => {
    const before = model(spec(), ['u8']);
    const { variants } = plannedStatus({ spec: spec(change), generation: 2, now }, before);
    expect(variants[0]).toMatchObject({ phase: 'Pending', artifactId: null, quality: null });
  });

  it('judges kept variants by the new bound', () => {
    const next = spec({ quality: { maxPerplexityRatio: 1.2 } });
    const status = plannedStatus(
      { spec: next, generation: 2, now },
      model(spec(), ['u8', 'rd-4.2']),
    );
    expect(status.variants[0]?.quality?.withinBound).toBe(false);
    expect(condition(status, 'QualityBound')).toMatchObject({
      status: 'False',
      reason: 'PerplexityBeyondBound',
      message: expect.stringContaining('perplexity 3.400 against 2.800 of the source'),
    });
  });
});

describe('withVariant', () => {
  it('is Ready when every variant is', () => {
    const { status } = model(spec(), ['u8', 'rd-4.2']);
    expect(condition(status, 'Ready')).toMatchObject({ status: 'True' });
    expect(condition(status, 'QualityBound')).toMatchObject({ status: 'True' });
  });

  it('says why a variant failed', () => {
    const to = { phase: 'Failed', message: 'no disk' } as const;
    const status = withVariant(model(spec(), ['u8']), { name: 'rd-4.2', now, to });
    expect(condition(status, 'Ready')).toMatchObject({
      status: 'False',
      reason: 'VariantFailed',
      message: 'rd-4.2: no disk',
    });
  });
});

describe('retriedStatus', () => {
  it('starts failed variants over and leaves the others', () => {
    const before = model(spec(), ['u8']);
    const to = { phase: 'Failed', attempts: 5, message: 'no disk' } as const;
    const status = withVariant(before, { name: 'rd-4.2', now, to });
    const { variants } = retriedStatus({ spec: before.spec, status }, now);
    expect(variants.map((v) => [v.phase, v.attempts])).toEqual([
      ['Ready', 0],
      ['Pending', 0],
    ]);
  });
});
