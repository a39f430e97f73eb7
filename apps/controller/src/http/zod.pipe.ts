import { fieldErrors } from '@entrofleet/protocol';
import { applyDecorators, Body, type PipeTransform, Query, SetMetadata } from '@nestjs/common';
import { ApiBody, ApiQuery } from '@nestjs/swagger';
import { z } from 'zod';
import { BadRequest, Unprocessable } from '../errors.ts';
import { type ComponentName, componentRef } from './openapi.components.ts';

class BodyPipe<T> implements PipeTransform<unknown, T> {
  readonly #schema: z.ZodType<T>;

  constructor(schema: z.ZodType<T>) {
    this.#schema = schema;
  }

  transform(value: unknown): T {
    const parsed = this.#schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const errors = fieldErrors(parsed.error);
    const first = errors[0];
    const where = first?.pointer === '' ? 'the body' : first?.pointer;
    throw new Unprocessable({ reason: 'Invalid', message: `${where}: ${first?.message}`, errors });
  }
}

class QueryPipe<T> implements PipeTransform<unknown, T> {
  readonly #schema: z.ZodType<T>;

  constructor(schema: z.ZodType<T>) {
    this.#schema = schema;
  }

  transform(value: unknown): T {
    const parsed = this.#schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const lines = fieldErrors(parsed.error).map((e) => `${e.pointer.slice(1)}: ${e.message}`);
    throw new BadRequest(`query parameter ${lines.join('; ')}`, 'BadQuery');
  }
}

/** The request body, validated; 422 names each offending field. */
export function ZodBody<T>(schema: z.ZodType<T>): ParameterDecorator {
  return Body(new BodyPipe(schema));
}

/** The query, validated; the method also needs {@link TakesQuery}. */
export function ZodQuery<T>(schema: z.ZodType<T>): ParameterDecorator {
  return Query(new QueryPipe(schema));
}

export function TakesBody(name: ComponentName): MethodDecorator {
  return ApiBody({ required: true, schema: componentRef(name) });
}

/** A body that may be left out, as if it were `{}`. */
export function TakesOptionalBody(name: ComponentName): MethodDecorator {
  return ApiBody({ required: false, schema: componentRef(name) });
}

/** Names of the query parameters a route takes; see the query guard. */
export const QUERY_NAMES = Symbol('query names');

/** Declares a route's query parameters; every other one is refused. */
export function TakesQuery(schema: z.ZodObject): MethodDecorator {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input' });
  const documented = Object.entries(properties).map(([name, property]) => {
    const { description = '', ...rest } = Object(property);
    return ApiQuery({ name, required: false, description, schema: rest });
  });
  return applyDecorators(SetMetadata(QUERY_NAMES, Object.keys(schema.shape)), ...documented);
}
