import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import {
  API_GROUP,
  API_VERSION,
  CUSTOM_RESOURCES,
  resourceDefinition,
} from '../../apps/controller/src/kube/custom.resources.ts';
import type { StructuralSchema } from '../../apps/controller/src/kube/structural.schema.ts';
import { crdFiles } from '../../deploy/kube/crd.files.ts';
import { ROOT } from './option.names.ts';

/** Every field a structural schema may have here; `$ref`, `anyOf` and the like are none. */
const KEYWORDS = new Set([
  'type',
  'description',
  'nullable',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'default',
  'format',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
]);
const TYPES = ['object', 'array', 'string', 'integer', 'number', 'boolean'];
/** Go's regular expressions (RE2) have no look-around, no back references, no great repeats. */
const NOT_IN_RE2 = /\(\?[=!<]|\\[1-9]|\{\d*,?\d{4,}\}/;

/** Each schema within one, with its path; items are `[]`, values of a map `.*`. */
function nodes(schema: StructuralSchema, path = ''): [string, StructuralSchema][] {
  const { properties = {}, items, additionalProperties } = schema;
  return [
    [path, schema],
    ...Object.entries(properties).flatMap(([name, child]) => nodes(child, `${path}.${name}`)),
    ...(items === undefined ? [] : nodes(items, `${path}[]`)),
    ...(additionalProperties === undefined ? [] : nodes(additionalProperties, `${path}.*`)),
  ];
}

/** As the API server fills defaults in: a missing field, then what is in it. */
function defaulted(schema: StructuralSchema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? value : value.map((item) => defaulted(items, item));
  }
  if (typeof value !== 'object' || value === null) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    if (!(name in filled) && child.default !== undefined) filled[name] = child.default;
    if (name in filled) filled[name] = defaulted(child, filled[name]);
  }
  return filled;
}

/** Field paths as zod itself tells them, by another dialect than the definitions are made from. */
function zodPaths(json: unknown, path: string): string[] {
  if (typeof json !== 'object' || json === null) return [];
  const found: string[] = [];
  for (const [keyword, child] of Object.entries(json)) {
    if (keyword === 'properties') {
      for (const [name, field] of Object.entries(child)) {
        found.push(`${path}.${name}`, ...zodPaths(field, `${path}.${name}`));
      }
    }
    if (keyword === 'items') found.push(...zodPaths(child, `${path}[]`));
    if (keyword === 'anyOf') {
      for (const choice of Object.values(child)) found.push(...zodPaths(choice, path));
    }
  }
  return found;
}

/** `null` is what an absent field means. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, child]) => child !== null);
  return Object.fromEntries(kept.map(([name, child]) => [name, withoutNulls(child)]));
}

const readExample = (name: string) =>
  parse(readFileSync(join(ROOT, 'deploy/examples', `${name}.yaml`), 'utf8'));

/** What a JSON Schema validator says of a value, field by field. */
function problems(schema: StructuralSchema, value: unknown): string[] {
  const validator = z.fromJSONSchema(JSON.parse(JSON.stringify(schema)), {
    defaultTarget: 'openapi-3.0',
  });
  const { error } = validator.safeParse(value);
  return (error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

const MINIMAL: Readonly<Record<string, object>> = {
  Model: { source: { path: '/m' }, variants: [{ name: 'u8', recipe: 'u8' }] },
  Rollout: {
    model: 'm',
    selector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] },
    strategy: {
      pace: { devicesPerMinute: 1 },
      windows: { download: [{ cron: '* * * * *', durationSeconds: 60 }] },
      errorThreshold: { percent: 10 },
      gates: [{ name: 'g', metric: 'perplexity', max: 2 }],
    },
  },
};

test('the chart has exactly the definitions of the schemas; "npm run crds" writes them', () => {
  const files = crdFiles();
  const folder = dirname(files[0]?.path ?? '');
  expect(readdirSync(folder).sort()).toEqual(files.map(({ path }) => basename(path)).sort());
  for (const { path, text } of files) {
    expect(readFileSync(path, 'utf8') === text, `${path} is stale`).toBe(true);
  }
});

describe.each(CUSTOM_RESOURCES)('the definition of $kind', (resource) => {
  const definition = resourceDefinition(resource);
  const [version] = definition.spec.versions;
  if (version === undefined) throw new Error('a definition without a version');
  const root = version.schema.openAPIV3Schema;
  const all = nodes(root);
  const specSchema: StructuralSchema = root.properties?.spec ?? {};

  test('is structural', () => {
    for (const [path, schema] of all) {
      expect(
        Object.keys(schema).filter((keyword) => !KEYWORDS.has(keyword)),
        path,
      ).toEqual([]);
      if (schema['x-kubernetes-int-or-string'] === true) expect(schema.type, path).toBeUndefined();
      else expect(TYPES, path).toContain(schema.type);
      expect(schema.properties && schema.additionalProperties, path).toBeUndefined();
      if (schema.type === 'array') expect(schema.items, path).toBeDefined();
      if (schema.format !== undefined) expect(schema.format, path).toBe('date-time');
      if (schema.nullable === true && Array.isArray(schema.enum)) {
        expect(schema.enum, `${path}: enum is asked of null too`).toContain(null);
      }
      expect(String(schema.pattern ?? ''), path).not.toMatch(NOT_IN_RE2);
      for (const name of schema.required ?? []) expect(schema.properties).toHaveProperty(name);
    }
  });

  test('restricts of the metadata the name alone', () => {
    expect(Object.keys(root.properties?.metadata?.properties ?? {})).toEqual(['name']);
    expect(Object.keys(root.properties?.metadata ?? {}).sort()).toEqual(['properties', 'type']);
  });

  test('has defaults that are valid before the defaults within them are filled in', () => {
    const withDefault = all.filter(([, schema]) => schema.default !== undefined);
    expect(withDefault.length).toBeGreaterThan(3);
    for (const [path, schema] of withDefault) {
      const { default: value, ...rest } = schema;
      expect(problems(rest, value), path).toEqual([]);
    }
  });

  test('fills in what the reconciler would', () => {
    const minimal = MINIMAL[resource.kind];
    const filled = defaulted(specSchema, minimal);
    const parsed = resource.spec.parse(minimal);
    expect(resource.spec.parse(filled)).toEqual(parsed);
    expect(filled).toEqual(withoutNulls(parsed));
  });

  test('has every field of the zod schemas and no other', () => {
    const parts = { spec: resource.spec, status: resource.status };
    const expected = Object.entries(parts).flatMap(([name, schema]) =>
      zodPaths(z.toJSONSchema(schema, { io: 'input', reused: 'inline' }), `.${name}`),
    );
    const fields = all
      .map(([path]) => path)
      .filter((path) => /^\.(spec|status)\./.test(path) && !/(\[\]|\.\*)$/.test(path));
    expect(fields.sort()).toEqual([...new Set(expected)].sort());
    expect(fields.length).toBeGreaterThan(25);
  });

  test('shows columns of fields that exist, with their type', () => {
    const known = new Map(all);
    for (const column of version.additionalPrinterColumns) {
      if (column.jsonPath === '.metadata.creationTimestamp') continue;
      const path = column.jsonPath.replaceAll(/\[\?\(@\.type=="[A-Z]\w+"\)\]/g, '[]');
      expect(known.get(path)?.type, column.jsonPath).toBe(column.type);
    }
  });

  test('names key fields only of lists whose items have them', () => {
    const known = new Map(all);
    for (const [path, keys] of Object.entries(resource.listKeys)) {
      expect(known.get(`.${path}`)).toMatchObject({ 'x-kubernetes-list-map-keys': keys });
      expect(known.get(`.${path}[]`)?.required).toEqual(expect.arrayContaining([...keys]));
    }
  });

  test('accepts its example, and so does the REST interface', () => {
    const example = readExample(resource.singular);
    expect(example).toMatchObject({
      apiVersion: `${API_GROUP}/${API_VERSION}`,
      kind: resource.kind,
    });
    expect(problems(root, example)).toEqual([]);
    expect(resource.spec.safeParse(example.spec).error?.issues ?? []).toEqual([]);
  });

  test('refuses an object without a spec, and a name that no topic could hold', () => {
    const example = readExample(resource.singular);
    expect(problems(root, { ...example, spec: undefined }).join()).toContain('spec');
    const dotted = { ...example, metadata: { name: 'a.b' } };
    expect(problems(root, dotted).join()).toContain('metadata.name');
  });
});
