import type { Route } from './http.routes.ts';
import { type RequestScope, sendJson } from './request.scope.ts';
import { type ServedModel, servedName } from './served.model.ts';
import { answerChat, answerCompletion, modelNotFound, type TextContext } from './text.handler.ts';

export interface ApiContext extends TextContext {
  /** The server ends: it answers what it has begun and nothing new. */
  readonly isDraining: () => boolean;
}

/** Everything the agent serves over HTTP. */
export function apiRoutes(context: ApiContext): readonly Route[] {
  return [
    { method: 'GET', path: '/healthz', handle: (scope) => alive(context, scope) },
    { method: 'GET', path: '/health', handle: (scope) => ready(context, scope) },
    { method: 'GET', path: '/readyz', handle: (scope) => ready(context, scope) },
    { method: 'GET', path: '/metrics', handle: (scope) => metrics(context, scope) },
    { method: 'GET', path: '/v1/models', handle: (scope) => listModels(context, scope) },
    { method: 'GET', path: '/v1/models/{id}', handle: (scope) => showModel(context, scope) },
    {
      method: 'POST',
      path: '/v1/completions',
      handle: (scope) => answerCompletion(context, scope),
    },
    { method: 'POST', path: '/v1/chat/completions', handle: (scope) => answerChat(context, scope) },
  ];
}

/** Liveness: the agent runs, whether or not it has a model. */
function alive({ slot }: ApiContext, { response }: RequestScope): void {
  const model = slot.current === null ? null : servedName(slot.current.target);
  sendJson(response, 200, { status: 'ok', model });
}

/** Readiness: the device answers requests for texts now. */
function ready({ slot, isDraining }: ApiContext, { response }: RequestScope): void {
  const model = slot.current === null ? null : servedName(slot.current.target);
  if (isDraining()) sendJson(response, 503, { status: 'the agent is ending', model });
  else if (model === null) sendJson(response, 503, { status: 'no model is active', model });
  else sendJson(response, 200, { status: 'serving', model });
}

async function metrics(context: ApiContext, { response }: RequestScope): Promise<void> {
  const text = await context.metrics.text();
  response.writeHead(200, { 'content-type': context.metrics.contentType });
  response.end(text);
}

function listModels({ slot }: ApiContext, { response }: RequestScope): void {
  const data = slot.current === null ? [] : [modelFields(slot.current)];
  sendJson(response, 200, { object: 'list', data });
}

function showModel({ slot }: ApiContext, { response, parameter }: RequestScope): void {
  const target = slot.current?.target ?? null;
  const isServed = parameter === target?.model || (target && parameter === servedName(target));
  if (slot.current === null || !isServed) throw modelNotFound(parameter, target);
  sendJson(response, 200, modelFields(slot.current));
}

function modelFields(model: ServedModel): object {
  const { target, figures, contextLength } = model;
  return {
    id: servedName(target),
    object: 'model',
    created: figures.loadedAt,
    owned_by: 'entrofleet',
    artifact: target.artifact.id,
    context_length: contextLength,
  };
}
