import { z } from 'zod';

/** What apiextensions/v1 takes as an OpenAPI v3 schema, of which entrofleet needs no more. */
export interface StructuralSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  required?: string[];
  default?: unknown;
  format?: string;
  [keyword: string]: unknown;
}

/** A zod schema says something that a structural schema cannot. */
export class UnstructuralSchemaError extends Error {
  constructor(path: string, problem: string) {
    super(`${path} ${problem}; say it in a refinement, which the reconciler checks`);
    this.name = 'UnstructuralSchemaError';
  }
}

/** Key fields by path of a list, e.g. `spec.variants`: no two items may have the same. */
export type ListKeys = Readonly<Record<string, readonly string[]>>;

type Json = Readonly<Record<string, unknown>>;

/** Mean the same in OpenAPI v3 as in apiextensions/v1. */
const COPIED = new Set([
  'type',
  'description',
  'nullable',
  'enum',
  'required',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
]);
const HANDLED = new Set([
  'properties',
  'items',
  'additionalProperties',
  'anyOf',
  'default',
  'format',
]);

/**
 * The structural schema of what a client may write for `schema`. Refinements and what a map asks
 * of its keys are not in it.
 *
 * @param path where it stands in the resource, e.g. `spec`
 * @throws UnstructuralSchemaError when a keyword of it has no structural form
 */
export function structuralSchema(
  schema: z.ZodType,
  { path, listKeys }: { path: string; listKeys: ListKeys },
): StructuralSchema {
  const { $schema, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    target: 'openapi-3.0',
    reused: 'inline',
  });
  return converted(json, path, listKeys);
}

function converted(json: Json, path: string, listKeys: ListKeys): StructuralSchema {
  for (const keyword of Object.keys(json)) {
    if (!COPIED.has(keyword) && !HANDLED.has(keyword)) {
      throw new UnstructuralSchemaError(path, `has the keyword ${keyword}`);
    }
  }
  const one = withoutAlternatives(json, path);
  if (one.type === undefined && one['x-kubernetes-int-or-string'] === undefined) {
    throw new UnstructuralSchemaError(path, 'has no type');
  }
  const result: StructuralSchema = Object.fromEntries(
    Object.entries(one).filter(([keyword]) => COPIED.has(keyword)),
  );
  // A default of null is none to the API server, and absent means the same to the reconciler.
  if (one.default !== undefined && one.default !== null) result.default = one.default;
  if (one.format === 'date-time') {
    result.format = one.format;
    // zod's pattern says the same as the format, in three hundred characters.
    delete result.pattern;
  }
  if (one['x-kubernetes-int-or-string'] === true) result['x-kubernetes-int-or-string'] = true;
  addChildren(result, one, { path, listKeys });
  return result;
}

function addChildren(
  result: StructuralSchema,
  json: Json,
  { path, listKeys }: { path: string; listKeys: ListKeys },
): void {
  if (isJson(json.properties)) {
    result.properties = Object.fromEntries(
      Object.entries(json.properties).map(([name, child]) => [
        name,
        converted(asJson(child, path), `${path}.${name}`, listKeys),
      ]),
    );
    requireWhatMayNotBeNull(result);
  }
  // Fields that are not declared are pruned: `additionalProperties: false` is neither needed nor
  // allowed beside properties.
  if (isJson(json.additionalProperties)) {
    result.additionalProperties = converted(json.additionalProperties, `${path}.*`, listKeys);
  }
  if (json.items !== undefined) {
    result.items = converted(asJson(json.items, path), `${path}[]`, listKeys);
  }
  const keys = listKeys[path];
  if (keys !== undefined) {
    result['x-kubernetes-list-type'] = 'map';
    result['x-kubernetes-list-map-keys'] = [...keys];
  }
}

/** A JSON merge patch cannot write null, it removes the field: so what may be null may be absent. */
function requireWhatMayNotBeNull(result: StructuralSchema): void {
  const { required = [], properties = {} } = result;
  const kept = required.filter((name) => properties[name]?.nullable !== true);
  if (kept.length === 0) delete result.required;
  else result.required = kept;
}

/**
 * A structural schema has one type for each field. An integer or a string is the one exception; a
 * text beside an object is a short form of it and left to the REST interface.
 */
function withoutAlternatives(json: Json, path: string): Json {
  const { anyOf, ...rest } = json;
  if (anyOf === undefined) return json;
  const choices = Array.isArray(anyOf) ? anyOf.map((choice) => asJson(choice, path)) : [];
  const [first, second, third] = choices;
  const types = choices.map((choice) => choice.type).join(' ');
  if (first === undefined || second === undefined || third !== undefined) {
    throw new UnstructuralSchemaError(path, `allows ${choices.length} types`);
  }
  if (types === 'string object') return { ...second, ...rest };
  if (types !== 'integer string') throw new UnstructuralSchemaError(path, `allows ${types}`);
  // Limits of the integer and the pattern of the string each apply to values of their type only.
  const { type, ...limits } = { ...second, ...first };
  return { ...limits, ...rest, 'x-kubernetes-int-or-string': true };
}

function asJson(value: unknown, path: string): Json {
  if (isJson(value)) return value;
  throw new UnstructuralSchemaError(path, `holds ${JSON.stringify(value)} for a schema`);
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
