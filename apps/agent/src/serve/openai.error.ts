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
    param?: string | undefined;
    code?: string | undefined;
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

/** 400: the caller must change the request. */
export function badRequest(message: string, param?: string, code?: string): ApiError {
  return new ApiError({ status: 400, type: 'invalid_request_error', message, param, code });
}

/** 503: the same request may be answered later. */
export function unavailable(message: string, code: string): ApiError {
  return new ApiError({ status: 503, type: 'service_unavailable', message, code });
}

/** Errors of the engine that the caller's request has caused, with the code that clients know. */
const CALLERS_FAULT: Readonly<Record<string, string | undefined>> = {
  ContextExceeded: 'context_length_exceeded',
  BadMessages: 'bad_messages',
  NoChatTemplate: 'no_chat_template',
  BadChatTemplate: 'bad_chat_template',
  BadToken: 'bad_token',
  BadArgument: 'bad_argument',
};

/** Gives any error the shape that OpenAI's clients understand. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const { reason, message } = failureOf(thrown);
  if (thrown instanceof QueueFull) {
    return new ApiError({ status: 429, type: 'rate_limit_error', message, code: 'queue_full' });
  }
  const code = CALLERS_FAULT[reason];
  if (code !== undefined) return badRequest(message, undefined, code);
  if (reason === 'OutOfMemory') return unavailable(message, 'out_of_memory');
  return new ApiError({ status: 500, type: 'server_error', message, code: reason });
}
