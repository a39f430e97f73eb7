import { z } from 'zod';

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

/** Turns zod issues into the `errors` list of a problem. */
export function fieldErrors(error: z.ZodError): NonNullable<Problem['errors']> {
  return error.issues.map((issue) => ({
    pointer: issue.path
      .map((p) => `/${String(p).replace(/~/g, '~0').replace(/\//g, '~1')}`)
      .join(''),
    message: issue.message,
  }));
}
