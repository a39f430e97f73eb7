import { z } from 'zod';
import { issueText } from './problem.words.ts';

/** RFC 9457 problem details; `errors` names each offending field with a JSON pointer. */
export const problemSchema = z.strictObject({
  type: z.string().describe('about:blank or urn:entrofleet:problem:<reason>'),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  instance: z.string().optional(),
  reason: z.string().describe('CamelCase, stable, for machines'),
  errors: z
    .array(z.strictObject({ pointer: z.string(), message: z.string() }))
    .optional()
    .describe('One entry a field; pointer is RFC 6901 into the request body'),
});
export type Problem = z.infer<typeof problemSchema>;

type Issue = z.core.$ZodIssue;
type FieldError = NonNullable<Problem['errors']>[number];

/**
 * Turns zod issues into the `errors` list of a problem, one entry a field. Of a union the
 * alternative that came closest speaks; an unknown key is named itself.
 */
export function fieldErrors(error: { readonly issues: readonly Issue[] }): FieldError[] {
  const messages = new Map<string, string>();
  for (const { pointer, message } of error.issues.flatMap((issue) => issueErrors(issue, []))) {
    const before = messages.get(pointer);
    messages.set(pointer, before === undefined ? message : `${before}; ${message}`);
  }
  return [...messages].map(([pointer, message]) => ({ pointer, message }));
}

function issueErrors(issue: Issue, parent: readonly PropertyKey[]): FieldError[] {
  const path = [...parent, ...issue.path];
  if (issue.code === 'invalid_union') {
    const closest = issue.errors.find((issues) => !issues.some(isWrongType)) ?? [];
    if (closest.length > 0) return closest.flatMap((inner) => issueErrors(inner, path));
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: pointer([...path, key]),
      message: 'unknown field',
    }));
  }
  if (issue.code === 'invalid_key') {
    const message = issue.issues.map((inner) => issueText(inner)).join('; ');
    return [{ pointer: pointer(path), message: `bad key: ${message}` }];
  }
  return [{ pointer: pointer(path), message: issueText(issue) }];
}

function isWrongType(issue: Issue): boolean {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

/** RFC 6901. */
function pointer(path: readonly PropertyKey[]): string {
  return path.map((p) => `/${String(p).replace(/~/g, '~0').replace(/\//g, '~1')}`).join('');
}
