import { ApiError } from './openai.error.ts';
import type { RequestScope } from './request.scope.ts';

/** Answers a request; what it throws becomes an answer in OpenAI's shape. */
export type Handler = (scope: RequestScope) => Promise<void> | void;

export interface Route {
  readonly method: 'GET' | 'POST';
  /** A path; `{id}` at its end stands for anything. */
  readonly path: string;
  readonly handle: Handler;
}

export interface FoundRoute {
  readonly route: Route;
  /** What `{id}` stands for, decoded; else empty. */
  readonly parameter: string;
}

/** Methods of a path, as `Allow` lists them (RFC 9110). A route for GET answers HEAD too. */
export function allowedMethods(routes: readonly Route[], path: string): readonly string[] {
  const own = routes.filter((route) => parameterOf(route, path) !== null).map((r) => r.method);
  if (own.length === 0) return [];
  return [...own, ...(own.includes('GET') ? ['HEAD'] : []), 'OPTIONS'];
}

/** @throws ApiError 404 or 405. */
export function findRoute(
  routes: readonly Route[],
  { method, path }: { method: string; path: string },
): FoundRoute {
  const asked = method === 'HEAD' ? 'GET' : method;
  for (const route of routes) {
    const parameter = parameterOf(route, path);
    if (route.method === asked && parameter !== null) return { route, parameter };
  }
  const allowed = allowedMethods(routes, path);
  const known = routes.map((route) => `${route.method} ${route.path}`).join(', ');
  throw new ApiError({
    status: allowed.length > 0 ? 405 : 404,
    type: 'invalid_request_error',
    message: `${method} ${path} is not served here; see ${known}`,
    code: allowed.length > 0 ? 'method_not_allowed' : 'unknown_url',
  });
}

function parameterOf(route: Route, path: string): string | null {
  if (!route.path.endsWith('{id}')) return route.path === path ? '' : null;
  const prefix = route.path.slice(0, -'{id}'.length);
  if (!path.startsWith(prefix) || path.length === prefix.length) return null;
  try {
    return decodeURIComponent(path.slice(prefix.length));
  } catch {
    return path.slice(prefix.length);
  }
}
