import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { BadRequest, RequestError } from '../errors.ts';
import type { HttpRequest } from './http.types.ts';
import { QUERY_NAMES } from './zod.pipe.ts';

/** Media types of request bodies; a body in another one is refused, not ignored. */
export const JSON_TYPES = ['application/json', 'application/merge-patch+json'];

/** Refuses what a route would ignore: unknown query parameters, bodies that are not JSON. */
@Injectable()
export class RequestGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<HttpRequest>();
    const known: string[] = this.reflector.get(QUERY_NAMES, context.getHandler()) ?? [];
    const unknown = Object.keys(request.query).find((name) => !known.includes(name));
    if (unknown !== undefined) {
      const choice = known.length === 0 ? 'it takes none' : `it takes ${known.join(', ')}`;
      throw new BadRequest(`unknown query parameter "${unknown}"; ${choice}`, 'BadQuery');
    }
    if (request.headers['content-length'] !== '0' && request.is(JSON_TYPES) === false) {
      throw new RequestError({
        status: 415,
        reason: 'UnsupportedMediaType',
        message: `send the body as ${JSON_TYPES[0]}`,
      });
    }
    return true;
  }
}
