import type { Problem } from '@entrofleet/protocol';

export type FieldErrors = NonNullable<Problem['errors']>;

/**
 * A request that is answered with a problem (RFC 9457). `reason` is CamelCase and stable;
 * `errors` names the offending fields by JSON pointer into the body.
 */
export class RequestError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly errors: FieldErrors | undefined;

  constructor(
    problem: { status: number; reason: string; message: string; errors?: FieldErrors },
    options?: ErrorOptions,
  ) {
    super(problem.message, options);
    this.name = new.target.name;
    this.status = problem.status;
    this.reason = problem.reason;
    this.errors = problem.errors;
  }
}

export class BadRequest extends RequestError {
  constructor(message: string, reason = 'BadRequest') {
    super({ status: 400, reason, message });
  }
}

export class NotFound extends RequestError {
  constructor(what: { kind: string; name: string }) {
    super({
      status: 404,
      reason: 'NotFound',
      message: `${what.kind} "${what.name}" does not exist`,
    });
  }
}

export class Conflict extends RequestError {
  constructor(reason: string, message: string) {
    super({ status: 409, reason, message });
  }
}

/** Well-formed, but a field's value cannot be accepted. */
export class Unprocessable extends RequestError {
  constructor(problem: { reason: string; message: string; errors?: FieldErrors }) {
    super({ status: 422, ...problem });
  }
}

export class Unavailable extends RequestError {
  constructor(reason: string, message: string, options?: ErrorOptions) {
    super({ status: 503, reason, message }, options);
  }
}

/** A job's attempt failed by circumstance (a killed process, a full disk); try again. */
export class Retryable extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Retryable';
    this.reason = reason;
  }
}

/** A job cannot go on before something else happens; the sweep brings it back. */
export class Waiting extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Waiting';
    this.reason = reason;
  }
}

/** A job can never succeed with this spec; only a change or a retry by a person helps. */
export class Stalled extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Stalled';
    this.reason = reason;
  }
}

/** The process cannot start: the message says what is missing and what to do. */
export class StartupError extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartupError';
    this.reason = reason;
  }
}

/** The CamelCase reason an error carries, as our typed errors do, else `undefined`. */
export function reasonOf(error: unknown): string | undefined {
  const reason = error instanceof Error && 'reason' in error ? error.reason : undefined;
  return typeof reason === 'string' ? reason : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
