import { z } from 'zod';
import { type Labels, labelKeySchema, labelsSchema, labelValueSchema } from './names.ts';

export const selectorRequirementSchema = z
  .strictObject({
    key: labelKeySchema,
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
    values: z.array(labelValueSchema).max(64).default([]),
  })
  .refine((r) => r.operator === 'Exists' || r.operator === 'DoesNotExist' || r.values.length > 0, {
    message: 'operators In and NotIn need at least one value',
    path: ['values'],
  });

/** Kubernetes label selector. Every requirement must hold; an empty selector matches everything. */
export const selectorSchema = z.strictObject({
  matchLabels: labelsSchema.default({}),
  matchExpressions: z.array(selectorRequirementSchema).max(32).default([]),
});
export type Selector = z.infer<typeof selectorSchema>;

/** True when `labels` satisfy every requirement of `selector`. */
export function selectorMatches(selector: Selector, labels: Labels): boolean {
  const equal = Object.entries(selector.matchLabels).every(([k, v]) => labels[k] === v);
  return equal && selector.matchExpressions.every((r) => requirementHolds(r, labels));
}

function requirementHolds(
  requirement: z.infer<typeof selectorRequirementSchema>,
  labels: Labels,
): boolean {
  const value = labels[requirement.key];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && requirement.values.includes(value);
    case 'NotIn':
      return value === undefined || !requirement.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** A human-readable form for messages, e.g. `site=berlin,gpu in (orin,nano)`. */
export function selectorText(selector: Selector): string {
  const equal = Object.entries(selector.matchLabels).map(([k, v]) => `${k}=${v}`);
  const expressions = selector.matchExpressions.map((r) => {
    if (r.operator === 'Exists') return r.key;
    if (r.operator === 'DoesNotExist') return `!${r.key}`;
    return `${r.key} ${r.operator === 'In' ? 'in' : 'notin'} (${r.values.join(',')})`;
  });
  return [...equal, ...expressions].join(',') || '(everything)';
}
