import type { Problem } from '@entrofleet/protocol';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { Log } from '../adapters/log.ts';
import { messageOf, RequestError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from './http.types.ts';

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  503: 'Service Unavailable',
};

const FRAMEWORK_REASONS: Readonly<Record<number, string>> = {
  400: 'MalformedJson',
  404: 'NoSuchRoute',
  413: 'RequestTooLarge',
  415: 'UnsupportedMediaType',
};

const FRAMEWORK_DETAILS: Readonly<Record<number, string>> = {
  413: 'the body is larger than REQUEST_LIMIT_BYTES of the controller; send less, or raise it',
};

/** SQLSTATE classes of a database that is away, shutting down, or out of disk or memory. */
const DATABASE_AWAY = /^(08|53|57P)/;

/** The one place where an error becomes an answer: RFC 9457 problem details. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<HttpRequest>();
    const response = http.getResponse<HttpResponse>();
    const problem = { ...problemOf(error), instance: request.path };
    if (problem.status >= 500) {
      this.#log.error('request failed', {
        method: request.method,
        path: request.path,
        error: messageOf(error),
        cause: error instanceof Error && error.cause ? messageOf(error.cause) : undefined,
        stack: problem.status === 500 && error instanceof Error ? error.stack : undefined,
      });
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  }
}

/** Says nothing about the inside of the controller for an error that nobody foresaw. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RequestError) {
    const { status, reason, message, errors } = error;
    return {
      ...head(status, reason),
      detail: message,
      ...(errors === undefined ? {} : { errors }),
    };
  }
  if (error instanceof HttpException) {
    const status = error.getStatus();
    const reason = FRAMEWORK_REASONS[status] ?? 'BadRequest';
    return { ...head(status, reason), detail: FRAMEWORK_DETAILS[status] ?? error.message };
  }
  if (isDatabaseAway(error)) {
    const detail = `the database cannot do it now: ${messageOf(error)}; try again`;
    return { ...head(503, 'DatabaseUnavailable'), detail };
  }
  return { ...head(500, 'InternalError'), detail: 'the controller failed; its log says why' };
}

function head(status: number, reason: string): Problem {
  return {
    type: `urn:entrofleet:problem:${reason}`,
    title: TITLES[status] ?? (status < 500 ? 'Request Failed' : 'Internal Server Error'),
    status,
    reason,
  };
}

/** The embedded database; a server's trouble is told by its pool, with the same reason. */
function isDatabaseAway(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && DATABASE_AWAY.test(code);
}
