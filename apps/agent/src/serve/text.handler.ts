import { randomUUID } from 'node:crypto';
import type { AnswerForm, AnswerIdentity } from './answer.form.ts';
import { chatForm } from './chat.form.ts';
import { type ChatRequest, parseChatRequest } from './chat.request.ts';
import { completionForm } from './completion.form.ts';
import { type CompletionRequest, parseCompletionRequest } from './completion.request.ts';
import { EventStream, SlowReader } from './event.stream.ts';
import type { Lease, ModelSlot } from './model.slot.ts';
import { ApiError, badRequest, toApiError, unavailable } from './openai.error.ts';
import { readJson } from './request.body.ts';
import type { CommonRequest } from './request.fields.ts';
import type { RequestGate } from './request.gate.ts';
import { type RequestScope, sendJson } from './request.scope.ts';
import { type ServedModel, servedName } from './served.model.ts';
import type { ServingMetrics } from './serving.metrics.ts';
import { answerStream, answerWhole, type TextJob, type TextMeter } from './text.answer.ts';

export interface TextContext {
  readonly slot: ModelSlot<ServedModel>;
  readonly gate: RequestGate;
  readonly metrics: ServingMetrics;
  /** How long a client may take nothing of a stream before it is cut off. */
  readonly writeStallMs: number;
}

interface Prompt {
  readonly tokens: readonly number[];
  /** What the answer begins with; empty unless the prompt is to be echoed. */
  readonly echo: string;
  readonly isScored: boolean;
}

type WriteForm = (use: Parameters<typeof completionForm>[0]) => AnswerForm;

/** `POST /v1/completions`. @throws ApiError while nothing has been sent yet. */
export async function answerCompletion(context: TextContext, scope: RequestScope): Promise<void> {
  const request = parseCompletionRequest(await readJson(scope.request));
  await admitted({ context, scope, request }, (model) =>
    answer({ context, scope, request, model }, 'cmpl', completionForm, promptsOf(model, request)),
  );
}

/** `POST /v1/chat/completions`. @throws ApiError while nothing has been sent yet. */
export async function answerChat(context: TextContext, scope: RequestScope): Promise<void> {
  const request = parseChatRequest(await readJson(scope.request));
  await admitted({ context, scope, request }, (model) =>
    answer({ context, scope, request, model }, 'chatcmpl', chatForm, chatPrompt(model, request)),
  );
}

interface Admission {
  readonly context: TextContext;
  readonly scope: RequestScope;
  readonly request: CommonRequest;
}

/** Waits for a place and for a lease on the model that serves then, and gives both back. */
async function admitted(
  { context, scope, request }: Admission,
  work: (model: ServedModel) => Promise<void>,
): Promise<void> {
  assertServes(context.slot.current, request.model);
  const leave = await context.gate.enter(scope.signal);
  try {
    const lease = acquire(context.slot, request.model);
    try {
      await work(lease.model);
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
  throw modelNotFound(name, target);
}

/** 404 in OpenAI's words. */
export function modelNotFound(name: string, target: ServedModel['target'] | null): ApiError {
  const serves = target === null ? 'no model at the moment' : servedName(target);
  return new ApiError({
    status: 404,
    type: 'invalid_request_error',
    message: `the model ${name} does not exist here: this device serves ${serves}`,
    param: 'model',
    code: 'model_not_found',
  });
}

function noModel(): ApiError {
  const message = 'no model is active on this device yet; its rollout has not finished here';
  return unavailable(message, 'no_active_model');
}

/**
 * Encoding takes the event loop's time in proportion to the text, so what cannot fit is not encoded.
 * Texts of real languages have some four characters in a token, indented code twice that.
 */
const CHARACTERS_PER_TOKEN_MOST = 32;

function promptsOf(model: ServedModel, request: CompletionRequest): Prompt[] {
  const isScored = request.echo && request.generation.logprobs !== undefined;
  return request.prompts.map((prompt) => {
    const isText = typeof prompt === 'string';
    if (isText) assertEncodable(model, prompt.length, 'prompt');
    const tokens = fitting(model, isText ? model.encode(prompt) : prompt, 'prompt');
    const text = () => (isText ? prompt : model.decode(tokens));
    return { tokens, echo: request.echo ? text() : '', isScored };
  });
}

function chatPrompt(model: ServedModel, request: ChatRequest): Prompt[] {
  const length = request.messages.reduce((sum, { content }) => sum + content.length, 0);
  assertEncodable(model, length, 'messages');
  const tokens = fitting(model, model.encodeChat(request.messages), 'messages');
  return [{ tokens, echo: '', isScored: false }];
}

function assertEncodable({ contextLength }: ServedModel, length: number, param: string): void {
  if (length <= contextLength * CHARACTERS_PER_TOKEN_MOST) return;
  throw tooLong({ contextLength, param, size: `${length} characters` });
}

/** @throws ApiError 400 when the prompt leaves no room for an answer. */
function fitting(
  { contextLength }: ServedModel,
  tokens: readonly number[],
  param: string,
): readonly number[] {
  if (tokens.length === 0) throw badRequest(`${param}: has no tokens`, param);
  if (tokens.length <= contextLength) return tokens;
  throw tooLong({ contextLength, param, size: `${tokens.length} tokens` });
}

function tooLong(use: { contextLength: number; param: string; size: string }): ApiError {
  const { contextLength, param, size } = use;
  const message =
    `This model's maximum context length is ${contextLength} tokens, but the ${param} resulted ` +
    `in ${size}; shorten the ${param}`;
  return badRequest(message, param, 'context_length_exceeded');
}

interface Turn extends Admission {
  readonly model: ServedModel;
}

async function answer(
  turn: Turn,
  kind: string,
  writeForm: WriteForm,
  prompts: readonly Prompt[],
): Promise<void> {
  const { context, scope, request, model } = turn;
  const { includeUsage } = request;
  const describeToken = (token: number) => model.describeToken(token);
  const job: TextJob = {
    model,
    form: writeForm({ identity: identityOf(kind, model), describeToken, includeUsage }),
    tasks: tasksOf(turn, prompts),
    promptTokens: prompts.reduce((sum, { tokens }) => sum + tokens.length, 0),
    meter: meterOf(context.metrics, scope.arrivedMs),
  };
  if (request.stream) {
    await answerEvents(turn, job);
    return;
  }
  const { body, usage } = await answerWhole(job);
  context.metrics.answered(usage);
  sendJson(scope.response, 200, body);
}

async function answerEvents({ context, scope, request }: Turn, job: TextJob): Promise<void> {
  const { response, signal } = scope;
  const stream = new EventStream({ response, signal, stallMs: context.writeStallMs });
  try {
    const { includeUsage } = request;
    context.metrics.answered(await answerStream(job, { stream, includeUsage }));
    stream.end();
  } catch (error) {
    if (!stream.started || response.destroyed || error instanceof SlowReader) throw error;
    // The status has gone out already, so the error goes the way of the events.
    stream.endWith(toApiError(signal.aborted ? signal.reason : error).body());
  }
}

function tasksOf({ request, scope }: Turn, prompts: readonly Prompt[]): TextJob['tasks'] {
  const { choices, generation } = request;
  const { signal, id: group } = scope;
  return prompts.flatMap(({ tokens, echo, isScored }, p) =>
    Array.from({ length: choices }, (_, n) => {
      const index = p * choices + n;
      const seed = generation.seed + index;
      const own = { prompt: tokens, seed, scorePrompt: isScored, group, signal };
      return { index, request: { ...generation, ...own }, echo };
    }),
  );
}

function identityOf(kind: string, { target }: ServedModel): AnswerIdentity {
  return {
    id: `${kind}-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: servedName(target),
    // The weights are all that a seed's answer depends on, besides the request.
    system_fingerprint: `fp_${target.artifact.id.slice(0, 16)}`,
  };
}

/** The first token of each text counts from the request's arrival. */
function meterOf(metrics: ServingMetrics, arrivedMs: number): TextMeter {
  const lastMs = new Map<number, number>();
  return {
    onToken: (index) => {
      const nowMs = performance.now();
      const beforeMs = lastMs.get(index);
      const seconds = (nowMs - (beforeMs ?? arrivedMs)) / 1000;
      metrics.token({ isFirst: beforeMs === undefined, seconds });
      lastMs.set(index, nowMs);
    },
  };
}
