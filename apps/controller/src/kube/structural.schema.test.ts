import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { structuralSchema, UnstructuralSchemaError } from './structural.schema.ts';

const at = (schema: z.ZodType, listKeys = {}) =>
  structuralSchema(schema, { path: 'spec', listKeys });

describe('structuralSchema', () => {
  it('prunes unknown fields instead of refusing them, and keeps maps', () => {
    const labels = z.record(z.string(), z.string().max(3));
    expect(at(z.strictObject({ labels }))).toEqual({
      type: 'object',
      required: ['labels'],
      properties: {
        labels: { type: 'object', additionalProperties: { type: 'string', maxLength: 3 } },
      },
    });
  });

  it('says null by nullable and leaves out a default of null', () => {
    expect(at(z.boolean().nullable().default(null))).toEqual({ type: 'boolean', nullable: true });
    expect(at(z.boolean().nullable().default(false))).toEqual({
      type: 'boolean',
      nullable: true,
      default: false,
    });
  });

  it('lets a field be absent that may be null, because a merge patch would remove it', () => {
    const schema = z.strictObject({ id: z.string().nullable(), at: z.string() });
    expect(at(schema).required).toEqual(['at']);
    expect(at(z.strictObject({ id: z.string().nullable() }))).not.toHaveProperty('required');
  });

  it('says an open bound as OpenAPI 3.0 does', () => {
    expect(at(z.number().gt(0).lt(9))).toEqual({
      type: 'number',
      minimum: 0,
      exclusiveMinimum: true,
      maximum: 9,
      exclusiveMaximum: true,
    });
  });

  it('keeps the limits of both in an integer or a string', () => {
    expect(at(z.union([z.int().min(1).max(9), z.string().regex(/^\d%$/)]))).toEqual({
      'x-kubernetes-int-or-string': true,
      minimum: 1,
      maximum: 9,
      pattern: '^\\d%$',
    });
  });

  it('takes the object where a text is a short form of it', () => {
    const long = z.strictObject({ name: z.string() });
    const short = z.string().transform((name) => ({ name }));
    expect(at(z.array(z.union([short, long])), { spec: ['name'] })).toEqual({
      type: 'array',
      items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    });
  });

  it.each([
    ['two objects', z.union([z.strictObject({ a: z.string() }), z.strictObject({})]), 'object obj'],
    ['three types', z.union([z.int(), z.string(), z.boolean()]), 'allows 3 types'],
    ['what may never be', z.never(), 'keyword not'],
    ['anything at all', z.unknown(), 'has no type'],
  ])('refuses %s and names the field', (_what, schema, problem) => {
    const attempt = () => at(z.strictObject({ field: schema }));
    expect(attempt).toThrow(UnstructuralSchemaError);
    expect(attempt).toThrow('spec.field');
    expect(attempt).toThrow(problem);
  });
});
