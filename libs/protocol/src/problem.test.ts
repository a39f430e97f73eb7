import { describe, expect, it } from 'vitest';
import { modelInputSchema } from './model.ts';
import { fieldErrors } from './problem.ts';
import { rolloutInputSchema } from './rollout.ts';

function errorsOf(body: unknown) {
  const parsed = modelInputSchema.safeParse(body);
  return parsed.success ? [] : fieldErrors(parsed.error);
}

function rolloutErrors(body: unknown) {
  const parsed = rolloutInputSchema.safeParse(body);
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
      { pointer: '/spec/variants/0', message: 'must be a text or an object' },
    ]);
  });

  it('gathers what is wrong with one field', () => {
    const errors = errorsOf(model(['u8'], { name: '' }));
    expect(errors.map((error) => error.pointer)).toEqual(['/metadata/name']);
    expect(errors[0]?.message).toMatch(/must not be empty; must be a DNS label/);
  });

  it('names an unknown field itself', () => {
    expect(errorsOf(model(['u8'], { color: 'red' }))).toEqual([
      { pointer: '/metadata/color', message: 'unknown field' },
    ]);
  });

  it('says what a value must be, in words', () => {
    const input = (strategy: object, spec: object = {}) => ({
      metadata: { name: 'r' },
      spec: { selector: {}, model: 'm', ...spec, strategy },
    });
    const forms = 'must be a whole number of devices from 1 on, or a share from "1%" to "100%"';
    for (const maxUnavailable of [0, 1.5, -1, '0%', '101%', 'all', true, []]) {
      expect(rolloutErrors(input({ maxUnavailable }))).toEqual([
        { pointer: '/spec/strategy/maxUnavailable', message: forms },
      ]);
    }
    const words = (strategy: object, spec?: object) =>
      rolloutErrors(input(strategy, spec)).map(({ pointer, message }) => {
        return `${pointer.split('/').at(-1)} ${message}`;
      });
    expect(words({ pace: { devicesPerMinute: 0 } })).toEqual([
      'devicesPerMinute must be more than 0',
    ]);
    expect(words({ retries: { limit: 21 } })).toEqual(['limit must be at most 20']);
    expect(words({ retries: { limit: 'x' } })).toEqual(['limit must be a number, not a text']);
    expect(words({ waves: [] })).toEqual(['waves must not be empty']);
    expect(words({ waves: 3 })).toEqual(['waves must be a list, not a number']);
    expect(words({ onAbort: 'Stop' })).toEqual(['onAbort must be one of Finish, RollBack']);
    expect(words({}, { model: undefined })).toEqual(['model is required: a text']);
    expect(words({}, { samplePrompt: 'x'.repeat(1001) })).toEqual([
      'samplePrompt must have at most 1000 characters',
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
