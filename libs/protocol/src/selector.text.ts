import { z } from 'zod';
import { type Selector, selectorSchema } from './selector.ts';

const EQUAL = /^([^\s!=]+)\s*==?\s*([^\s!=]*)$/;
const NOT_EQUAL = /^([^\s!=]+)\s*!=\s*([^\s!=]*)$/;
const AMONG = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;
const ABSENT = /^!\s*([^\s!=]+)$/;
const PRESENT = /^[^\s!=]+$/;

/**
 * A label selector as `kubectl -l` takes it, e.g. `site=berlin,gpu in (orin,nano),!draining`.
 * It parses to the object form.
 */
export const selectorTextSchema = z
  .string()
  .max(4096)
  .transform((text, context) => {
    const selector = parse(text);
    if (selector !== undefined) return selector;
    context.addIssue({
      code: 'custom',
      message: `"${text}" is no label selector; write e.g. site=berlin,gpu in (orin,nano),!old`,
    });
    return z.NEVER;
  })
  .pipe(selectorSchema);

function parse(text: string): unknown {
  const matchLabels: Record<string, string> = {};
  const matchExpressions: Selector['matchExpressions'] = [];
  // A comma within brackets separates values, not requirements.
  for (const part of text.split(/,(?![^(]*\))/).map((p) => p.trim())) {
    if (part === '' && text.trim() === '') continue;
    const equal = EQUAL.exec(part);
    const [, key = ''] = equal ?? [];
    if (equal !== null && !Object.hasOwn(matchLabels, key)) {
      matchLabels[key] = equal[2] ?? '';
      continue;
    }
    const requirement = parseRequirement(part);
    if (requirement === undefined) return undefined;
    matchExpressions.push(requirement);
  }
  return { matchLabels, matchExpressions };
}

function parseRequirement(part: string): Selector['matchExpressions'][number] | undefined {
  const [, equalKey, equalValue = ''] = EQUAL.exec(part) ?? [];
  if (equalKey !== undefined) return { key: equalKey, operator: 'In', values: [equalValue] };
  const [, otherKey, otherValue = ''] = NOT_EQUAL.exec(part) ?? [];
  if (otherKey !== undefined) return { key: otherKey, operator: 'NotIn', values: [otherValue] };
  const [, key, operator, list = ''] = AMONG.exec(part) ?? [];
  if (key !== undefined) {
    const values = list.split(',').map((value) => value.trim());
    return { key, operator: operator === 'in' ? 'In' : 'NotIn', values };
  }
  const [, absent] = ABSENT.exec(part) ?? [];
  if (absent !== undefined) return { key: absent, operator: 'DoesNotExist', values: [] };
  return PRESENT.test(part) ? { key: part, operator: 'Exists', values: [] } : undefined;
}
