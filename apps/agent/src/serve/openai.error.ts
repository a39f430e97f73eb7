import { failureOf } from '../errors.ts';
import { QueueFull } from './request.gate.ts';

type ErrorType =
  | 'invalid_request_error'
  | 'rate_limit_error'
  | 'server_error'
  | 'service_unavailable';

/** An error as the OpenAI API words it. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: ErrorType;
  readonly param: string | null;
  readonly code: string | null;

  constructor(use: {
    status: number;
    type: ErrorType;
    message: string;
    param?: string;
    code?: string;
  }) {
    super(use.message);
    this.status = use.status;
    this.type = use.type;
    this.param = use.param ?? null;
    this.code = use.code ?? null;
  }

  body(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

export function badRequest(message: string, param?: string): ApiError {
  return new ApiError({
    status: 400,
    type: 'invalid_request_error',
    message,
    ...(param === undefined ? {} : { param }),
  });
}

/** Errors of the engine that the caller's request has caused. */
const CALLERS_FAULT = new Set(['ContextExceeded', 'BadToken', 'BadArgument']);

/** Gives any error the shape that OpenAI's clients understand. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const { reason, message } = failureOf(thrown);
  if (thrown instanceof QueueFull) {
    return new ApiError({ status: 429, type: 'rate_limit_error', message, code: 'queue_full' });
  }
  if (reason === 'ContextExceeded') {
    const code = 'context_length_exceeded';
    return new ApiError({ status: 400, type: 'invalid_request_error', message, code });
  }
  if (CALLERS_FAULT.has(reason)) return badRequest(message);
  return new ApiError({ status: 500, type: 'server_error', message, code: reason });
}
