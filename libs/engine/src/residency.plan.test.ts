import { describe, expect, it } from 'vitest';
import {
  type MatrixForm,
  type MatrixSizes,
  planResidency,
  type ResidencyRequest,
  residencyTable,
} from './residency.plan.ts';

const MB = 1e6;

/** A machine whose memory is slow beside its decoder only if told so. */
const CONSTANTS = {
  threads: 2,
  readBytesPerSecond: 40e9,
  laneSymbolsPerSecond: 20e9,
  streamSymbolsPerSecond: 4e9,
  productWeightsPerSecond: 80e9,
  diskBytesPerSecond: 1e9,
};

function matrix(name: string, weights: number, use: MatrixSizes['use'] = 'product'): MatrixSizes {
  return {
    ...{ name, weights, symbols: weights, segmentSymbols: 2 ** 18, layout: 'lanes', use },
    plainBytes: weights,
    windowBytes: 0.8 * weights,
    codedBytes: 0.7 * weights,
  };
}

const MATRICES = [
  matrix('embedding', 50 * MB, 'rows'),
  ...Array.from({ length: 20 }, (_, i) => matrix(`layer ${i}`, (i + 1) * MB)),
  matrix('head', 50 * MB),
];
const WEIGHTS = MATRICES.reduce((sum, { weights }) => sum + weights, 0);

function request(use: Partial<ResidencyRequest>): ResidencyRequest {
  return {
    ...{ matrices: MATRICES, constants: CONSTANTS, form: 'auto', budgetBytes: null },
    ...{ fixedBytes: 10 * MB, decodeScratchBytes: MB, diskScratchBytes: 4 * MB },
    ...use,
  };
}

function formsOf(use: Partial<ResidencyRequest>): Record<string, MatrixForm> {
  return Object.fromEntries(planResidency(request(use)).forms);
}

const countOf = (forms: Record<string, MatrixForm>, form: MatrixForm) =>
  Object.values(forms).filter((chosen) => chosen === form).length;

describe('planResidency', () => {
  it('holds everything in windows while they fit', () => {
    expect(new Set(Object.values(formsOf({})))).toEqual(new Set(['window']));
    const budgetBytes = 10 * MB + 0.8 * WEIGHTS;
    expect(countOf(formsOf({ budgetBytes }), 'window')).toBe(MATRICES.length);
    expect(countOf(formsOf({ budgetBytes: budgetBytes - 1 }), 'coded')).toBeGreaterThan(0);
  });

  it('needs no measurements for that', () => {
    expect(planResidency(request({ constants: null })).tokenSeconds).toBeNull();
  });

  it('prefers coded matrices without a limit where memory is that slow', () => {
    const constants = { ...CONSTANTS, readBytesPerSecond: 1e9, laneSymbolsPerSecond: 100e9 };
    expect(formsOf({ constants })).toMatchObject({ 'layer 3': 'coded', head: 'coded' });
  });

  it('leaves the embedding coded first, since a token needs only a row of it', () => {
    const budgetBytes = 10 * MB + MB + 0.8 * WEIGHTS - 0.1 * 50 * MB;
    const forms = formsOf({ budgetBytes });
    expect(forms.embedding).toBe('coded');
    expect(countOf(forms, 'window')).toBe(MATRICES.length - 1);
  });

  it('puts the embedding on disk before anything that every pass reads', () => {
    const budgetBytes = 10 * MB + MB + 4 * MB + 0.7 * (WEIGHTS - 50 * MB);
    const forms = formsOf({ budgetBytes });
    expect(forms.embedding).toBe('disk');
    expect(countOf(forms, 'disk')).toBe(1);
  });

  it('puts on disk hardly more than must go there', () => {
    const budgetBytes = 10 * MB + MB + 4 * MB + 0.7 * (WEIGHTS - 50 * MB - 33.3 * MB);
    const forms = formsOf({ budgetBytes });
    const onDisk = MATRICES.filter(({ name, use }) => use !== 'rows' && forms[name] === 'disk');
    const weights = onDisk.reduce((sum, m) => sum + m.weights, 0);
    expect(weights).toBeGreaterThanOrEqual(33.3 * MB);
    expect(weights).toBeLessThanOrEqual(35 * MB);
  });

  it('stays within any budget that anything fits, and is never slower with more', () => {
    const least = 10 * MB + MB + 4 * MB;
    let slowest = Number.POSITIVE_INFINITY;
    for (let budgetBytes = least; budgetBytes < 350 * MB; budgetBytes += 3 * MB) {
      const plan = planResidency(request({ budgetBytes }));
      expect(plan.totalBytes).toBeLessThanOrEqual(budgetBytes);
      expect(plan.forms.size).toBe(MATRICES.length);
      // Matrices go to disk whole, so a little more memory may not help at once.
      expect(plan.tokenSeconds).toBeLessThanOrEqual(slowest * 1.35);
      slowest = Math.min(slowest, plan.tokenSeconds ?? 0);
    }
  });

  it('refuses a budget that nothing fits, and a form that does not fit, with the arithmetic', () => {
    const tooLittle = request({ budgetBytes: 12 * MB });
    expect(() => planResidency(tooLittle)).toThrow(
      expect.objectContaining({
        reason: 'OutOfMemory',
        message: expect.stringMatching(/14\.3 MiB at least .* the budget is 11\.4 MiB/),
      }),
    );
    const plain = request({ form: 'plain', budgetBytes: 100 * MB });
    expect(() => planResidency(plain)).toThrow(/as plain .* choose form auto/);
  });

  it.each(['plain', 'window', 'coded', 'disk'] as const)('does as told: %s', (form) => {
    expect(countOf(formsOf({ form }), form)).toBe(MATRICES.length);
  });

  it('expects what the slower of disk and computing takes', () => {
    const { tokenSeconds } = planResidency(request({ form: 'disk' }));
    const readBytes = 0.7 * (WEIGHTS - 50 * MB) + 0.7 * 2 ** 18;
    const seconds = readBytes / CONSTANTS.diskBytesPerSecond;
    expect(tokenSeconds).toBeGreaterThan(seconds);
    expect(tokenSeconds).toBeLessThan(seconds + 0.001);
  });

  it('explains itself in a line, and in a table with a row for each matrix', () => {
    const within = request({ budgetBytes: 200 * MB });
    const plan = planResidency(within);
    expect(plan.explanation).toMatch(
      /^matrices: .*coded \(.* MiB\).* budget 190\.7 MiB; at most \d+ tokens\/s by memory at 40\.0/,
    );
    expect(plan.explanation).not.toContain('\n');
    const lines = residencyTable(within, plan).split('\n');
    expect(lines).toHaveLength(MATRICES.length + 1);
    expect(lines[0]).toMatch(/^matrix +form +takes +coded +window +plain$/);
  });
});
