import { z } from 'zod';
import { problemSchema } from './problem.ts';

/**
 * The `data` of one server-sent event of a watch. `ADDED`, `MODIFIED`, `DELETED` carry the object
 * as it is now, or last was; several changes in a row may arrive as one. `DELETED` also says that an
 * object no longer satisfies the selectors. `BOOKMARK` says that everything up to its version was
 * sent. `ERROR` is the last event; its problem says why.
 */
export function watchEventSchema<T extends z.ZodType>(object: T) {
  return z.union([
    z.strictObject({ type: z.enum(['ADDED', 'MODIFIED', 'DELETED']), object }),
    z.strictObject({
      type: z.literal('BOOKMARK'),
      object: z.strictObject({ metadata: z.strictObject({ resourceVersion: z.string() }) }),
    }),
    z.strictObject({ type: z.literal('ERROR'), object: problemSchema }),
  ]);
}
