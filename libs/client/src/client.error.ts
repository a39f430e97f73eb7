import type { components } from './api.schema.ts';

export type Problem = components['schemas']['Problem'];

/** The controller refused a request; `problem` is its answer (RFC 9457). */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused';
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(textOf(problem));
    this.problem = problem;
  }

  get status(): number {
    return this.problem.status;
  }

  /** CamelCase, stable. */
  get reason(): string {
    return this.problem.reason;
  }
}

/** No controller answers at the address. */
export class ServerUnreachable extends Error {
  override readonly name = 'ServerUnreachable';
  readonly server: string;

  constructor(server: string, cause: unknown) {
    super(`no controller answers at ${server}: ${reasonOf(cause)}`, { cause });
    this.server = server;
  }
}

/** What answered is no controller of this kind. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
}

/** Each offending field in a line of its own, unless the detail names it. */
function textOf({ detail, title, errors = [] }: Problem): string {
  const text = detail ?? title;
  const fields = errors
    .filter(({ message }) => !text.includes(message))
    .map(({ pointer, message }) => `${pointer}: ${message}`);
  return [text, ...fields].join('\n');
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0]);
  return cause === undefined ? error.message : reasonOf(cause);
}

export function isProblem(value: unknown): value is Problem {
  return (
    typeof value === 'object' &&
    value !== null &&
    'status' in value &&
    typeof value.status === 'number' &&
    'reason' in value &&
    typeof value.reason === 'string' &&
    'title' in value
  );
}
