import { z } from 'zod';

/** What a recipe string means; see {@link parseRecipe}. */
export type Recipe =
  | { readonly kind: 'affine'; readonly bits: 8 | 4; readonly text: 'u8' | 'u4-paper' }
  | { readonly kind: 'rate'; readonly targetBitsPerWeight: number; readonly text: string }
  | { readonly kind: 'quality'; readonly targetSqnrDb: number; readonly text: string };

export const RECIPE_RATE_DEFAULT_BITS = 4.2;
const RATE_BITS_MIN = 1.5;
const RATE_BITS_MAX = 7.5;
const QUALITY_DB_MIN = 6;
const QUALITY_DB_MAX = 45;

/**
 * Recipes: `u8` and `u4-paper` are EntroLLM's per-tensor uint8 and uint4 (`u4` is read as
 * `u4-paper`). The others have a per-row step on an int8 grid and give every tensor the rate at
 * which one more bit would help equally everywhere: `rd-<bits>` meets `<bits>` entropy bits per
 * weight over all coded tensors (`rd` is read as `rd-4.2`); `rd-q<dB>` spends as few bits as keep
 * the noise of quantization, in the mean over the model's functions (look-up, queries, ..., head),
 * `<dB>` decibels below the signal of each. 10 dB more cost 1.66 bits per weight; see
 * docs/BENCHMARKS.md for what that did to a real model.
 *
 * @returns the parsed recipe, or `undefined` when the text names none.
 */
export function parseRecipe(text: string): Recipe | undefined {
  if (text === 'u8') return { kind: 'affine', bits: 8, text };
  if (text === 'u4-paper' || text === 'u4') return { kind: 'affine', bits: 4, text: 'u4-paper' };
  const quality = /^rd-q(\d{1,2}(?:\.\d)?)$/.exec(text);
  if (quality !== null) return qualityRecipe(Number(quality[1]));
  const match = /^rd(?:-(\d(?:\.\d{1,3})?))?$/.exec(text);
  if (match === null) return undefined;
  const bits = match[1] === undefined ? RECIPE_RATE_DEFAULT_BITS : Number(match[1]);
  if (bits < RATE_BITS_MIN || bits > RATE_BITS_MAX) return undefined;
  return { kind: 'rate', targetBitsPerWeight: bits, text: `rd-${bits}` };
}

function qualityRecipe(targetSqnrDb: number): Recipe | undefined {
  if (targetSqnrDb < QUALITY_DB_MIN || targetSqnrDb > QUALITY_DB_MAX) return undefined;
  return { kind: 'quality', targetSqnrDb, text: `rd-q${targetSqnrDb}` };
}

/** Recipe text, normalised: `rd` becomes `rd-4.2`, `u4` becomes `u4-paper`. */
export const recipeSchema = z
  .string()
  .transform((text, context) => {
    const recipe = parseRecipe(text);
    if (recipe !== undefined) return recipe.text;
    context.addIssue({
      code: 'custom',
      message:
        `unknown recipe "${text}"; use u8, u4-paper, rd-<bits per weight> ` +
        `with ${RATE_BITS_MIN} to ${RATE_BITS_MAX} bits, e.g. rd-4.2, or rd-q<decibels> ` +
        `with ${QUALITY_DB_MIN} to ${QUALITY_DB_MAX}, e.g. rd-q24`,
    });
    return z.NEVER;
  })
  .pipe(z.string())
  .describe('u8 | u4-paper | rd-<bits per weight> | rd-q<decibels of signal over noise>');
