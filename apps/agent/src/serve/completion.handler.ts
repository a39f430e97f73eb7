import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { CompletionRequest } from './completion.request.ts';
import type { Lease, ModelSlot } from './model.slot.ts';
import { ApiError, toApiError } from './openai.error.ts';
import type { RequestGate } from './request.gate.ts';
import { type GenerationPiece, type ServedModel, servedName, type Usage } from './served.model.ts';

export interface CompletionContext {
  readonly slot: ModelSlot<ServedModel>;
  readonly gate: RequestGate;
}

type End = Extract<GenerationPiece, { kind: 'End' }>;

/** Identity of one answer, the same in all its chunks. */
interface Answer {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
}

/**
 * Answers one completion, in one piece or as server-sent events. When the client goes away the
 * generation ends with the token it is at.
 * @throws ApiError while nothing has been sent yet.
 */
export async function answerCompletion(
  context: CompletionContext,
  request: CompletionRequest,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the client has gone')));
  assertServes(context.slot.current, request.model);
  const leave = await context.gate.enter(gone.signal);
  try {
    const lease = acquire(context.slot, request.model);
    try {
      await answerOn(lease.model, { request, response, signal: gone.signal });
    } finally {
      lease.release();
    }
  } finally {
    leave();
  }
}

/** The model may have been switched while the request was waiting. */
function acquire(slot: ModelSlot<ServedModel>, name: string | null): Lease<ServedModel> {
  const lease = slot.acquire();
  try {
    assertServes(lease?.model ?? null, name);
  } catch (error) {
    lease?.release();
    throw error;
  }
  if (lease === null) throw noModel();
  return lease;
}

function assertServes(model: ServedModel | null, name: string | null): void {
  if (model === null) throw noModel();
  const { target } = model;
  if (name === null || name === target.model || name === servedName(target)) return;
  throw new ApiError({
    status: 404,
    type: 'invalid_request_error',
    message: `this device serves ${servedName(target)}, not ${name}`,
    param: 'model',
    code: 'model_not_found',
  });
}

function noModel(): ApiError {
  return new ApiError({
    status: 503,
    type: 'service_unavailable',
    message: 'no model is active on this device yet; its rollout has not finished here',
    code: 'no_active_model',
  });
}

interface Turn {
  readonly request: CompletionRequest;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

async function answerOn(model: ServedModel, turn: Turn): Promise<void> {
  const answer: Answer = {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: servedName(model.target),
  };
  const pieces = model.generate({ ...turn.request.generation, signal: turn.signal });
  if (turn.request.stream) await stream(answer, pieces, turn);
  else await respond(answer, pieces, turn);
}

async function respond(
  answer: Answer,
  pieces: AsyncIterable<GenerationPiece>,
  turn: Turn,
): Promise<void> {
  let text = '';
  let end: End | undefined;
  for await (const piece of pieces) {
    if (piece.kind === 'Text') text += piece.text;
    else end = piece;
  }
  if (end === undefined) throw endless();
  const body = { ...answer, choices: [choice(text, end.finishReason)], usage: usageOf(end.usage) };
  turn.response.writeHead(200, { 'content-type': 'application/json' });
  turn.response.end(JSON.stringify(body));
}

async function stream(
  answer: Answer,
  pieces: AsyncIterable<GenerationPiece>,
  turn: Turn,
): Promise<void> {
  const { response, request, signal } = turn;
  const usage = request.includeUsage ? { usage: null } : {};
  try {
    for await (const piece of pieces) {
      // The head goes with the first piece, so that a refused prompt still gets its own status.
      if (!response.headersSent) startEvents(response);
      const chosen =
        piece.kind === 'Text' ? choice(piece.text, null) : choice('', piece.finishReason);
      await sendEvent({ ...answer, choices: [chosen], ...usage }, turn);
      if (piece.kind === 'End' && request.includeUsage) {
        await sendEvent({ ...answer, choices: [], usage: usageOf(piece.usage) }, turn);
      }
    }
  } catch (error) {
    if (!response.headersSent || signal.aborted) throw error;
    await sendEvent(toApiError(error).body(), turn);
  }
  response.end('data: [DONE]\n\n');
}

function startEvents(response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
}

async function sendEvent(body: object, turn: Turn): Promise<void> {
  turn.signal.throwIfAborted();
  if (turn.response.write(`data: ${JSON.stringify(body)}\n\n`)) return;
  await once(turn.response, 'drain', { signal: turn.signal });
}

function choice(text: string, finishReason: End['finishReason'] | null): object {
  return { text, index: 0, logprobs: null, finish_reason: finishReason };
}

function usageOf(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

function endless(): ApiError {
  const message = 'the generation ended without a finish reason';
  return new ApiError({ status: 500, type: 'server_error', message });
}
