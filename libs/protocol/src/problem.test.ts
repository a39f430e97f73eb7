import { describe, expect, it } from 'vitest';
import { modelInputSchema } from './model.ts';
import { fieldErrors } from './problem.ts';

function errorsOf(body: unknown) {
  const parsed = modelInputSchema.safeParse(body);
  return parsed.success ? [] : fieldErrors(parsed.error);
}

function model(variants: unknown[], metadata: object = {}): unknown {
  return { metadata: { name: 'm', ...metadata }, spec: { source: { path: '/m' }, variants } };
}

describe('fieldErrors', () => {
  it('lets the alternative of a union speak that has the right type', () => {
    expect(errorsOf(model(['u9']))).toEqual([
      { pointer: '/spec/variants/0', message: expect.stringContaining('unknown recipe "u9"') },
    ]);
    expect(errorsOf(model([{ name: 'a', recipe: 'x' }]))).toEqual([
      { pointer: '/spec/variants/0/recipe', message: expect.stringContaining('unknown recipe') },
    ]);
    expect(errorsOf(model([5]))).toEqual([
      { pointer: '/spec/variants/0', message: 'Invalid input' },
    ]);
  });

  it('gathers what is wrong with one field', () => {
    const errors = errorsOf(model(['u8'], { name: '' }));
    expect(errors.map((error) => error.pointer)).toEqual(['/metadata/name']);
    expect(errors[0]?.message).toMatch(/Too small.*; must be a DNS label/);
  });

  it('names an unknown field itself', () => {
    expect(errorsOf(model(['u8'], { color: 'red' }))).toEqual([
      { pointer: '/metadata/color', message: 'unknown field' },
    ]);
  });

  it('escapes pointers as RFC 6901 asks', () => {
    const [error] = errorsOf(model(['u8'], { labels: { 'a/b~c': 5 } }));
    expect(error?.pointer).toBe('/metadata/labels/a~1b~0c');
  });

  it('accepts the short form of a variant and normalises recipes', () => {
    const parsed = modelInputSchema.parse(model(['u4', { name: 'mine', recipe: 'rd' }]));
    expect(parsed.spec.variants).toEqual([
      { name: 'u4-paper', recipe: 'u4-paper', layout: 'auto' },
      { name: 'mine', recipe: 'rd-4.2', layout: 'auto' },
    ]);
  });
});
