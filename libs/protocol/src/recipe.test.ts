import { describe, expect, it } from 'vitest';
import { parseRecipe, recipeSchema } from './recipe.ts';

describe('recipes', () => {
  it.each([
    ['u8', { kind: 'affine', bits: 8, text: 'u8' }],
    ['u4', { kind: 'affine', bits: 4, text: 'u4-paper' }],
    ['rd', { kind: 'rate', targetBitsPerWeight: 4.2, text: 'rd-4.2' }],
    ['rd-3.50', { kind: 'rate', targetBitsPerWeight: 3.5, text: 'rd-3.5' }],
    ['rd-q24', { kind: 'quality', targetSqnrDb: 24, text: 'rd-q24' }],
    ['rd-q20.5', { kind: 'quality', targetSqnrDb: 20.5, text: 'rd-q20.5' }],
  ])('%s is %o', (text, recipe) => {
    expect(parseRecipe(text)).toEqual(recipe);
    expect(recipeSchema.parse(text)).toBe(recipe.text);
  });

  it.each(['', 'u5', 'rd-', 'rd-1.4', 'rd-7.6', 'rd-q5', 'rd-q45.1', 'rd-q', 'rd-q20.55', 'q20'])(
    '"%s" is none',
    (text) => {
      expect(parseRecipe(text)).toBeUndefined();
      expect(recipeSchema.safeParse(text).error?.issues[0]?.message).toContain('rd-q24');
    },
  );
});
