import type { IncomingMessage } from 'node:http';
import { ApiError, badRequest } from './openai.error.ts';

export const BODY_BYTES_MOST = 2 * 1024 * 1024;

/**
 * Reads a JSON body within its bounds.
 * @throws ApiError 400, 413 or 415.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  assertJson(request);
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MOST) throw tooLarge();
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  // The connection is still needed for the answer when the rest is not read.
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
    sizeBytes += bytes.length;
    if (sizeBytes > BODY_BYTES_MOST) throw tooLarge();
    pieces.push(bytes);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)));
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : 'it is not UTF-8';
    throw badRequest(`the request body is not JSON: ${reason}`);
  }
}

/**
 * A web page may send text to any address without asking first, but not `application/json` (Fetch
 * standard, CORS-safelisted request-header). An API that listens on loopback relies on it.
 */
function assertJson({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';');
  if (type.trim() !== 'application/json') {
    throw unsupported(`send content-type: application/json, not ${type.trim() || 'none'}`);
  }
  const charset = parameters.map((p) => p.trim()).find((p) => p.startsWith('charset='));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) {
    throw unsupported(`the body must be UTF-8, not ${charset}`);
  }
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw unsupported(`content-encoding ${encoding} is not supported`);
}

function unsupported(message: string): ApiError {
  return new ApiError({ status: 415, type: 'invalid_request_error', message });
}

function tooLarge(): ApiError {
  const message = `the request is larger than ${BODY_BYTES_MOST} bytes`;
  return new ApiError({ status: 413, type: 'invalid_request_error', message });
}
