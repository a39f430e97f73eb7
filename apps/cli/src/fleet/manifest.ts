import { parseAllDocuments } from 'yaml';
import { CliError } from '../cli.error.ts';
import { API_VERSION } from './shown.output.ts';

export const MANIFEST_KINDS = ['Model', 'Rollout'] as const;
export type ManifestKind = (typeof MANIFEST_KINDS)[number];

/** An object that somebody wants, as the REST API takes it. */
export interface Manifest {
  readonly kind: ManifestKind;
  readonly name: string;
  /** The body of a PUT; the controller checks it. */
  readonly input: { readonly metadata: object; readonly spec: unknown };
  /** Where it was read, for messages. */
  readonly origin: string;
}

/** What the controller says of an object, and nobody can set. */
const READ_ONLY = new Set(['uid', 'generation', 'creationTimestamp', 'owner']);

/**
 * Reads Models and Rollouts from YAML (one or several documents) or JSON. What `get -o yaml` prints
 * can be read again.
 * @throws CliError `BadInput` that names the document and what is wrong with it.
 */
export function readManifests(text: string, path: string): Manifest[] {
  const documents = parseAllDocuments(text);
  const parsed = [...(Array.isArray(documents) ? documents : [])];
  const manifests = parsed.flatMap((document, index) => {
    const origin = parsed.length === 1 ? path : `${path}, document ${index + 1}`;
    const [error] = document.errors;
    if (error !== undefined) throw bad(origin, error.message.split('\n')[0] ?? 'not YAML');
    const value: unknown = document.toJS();
    return value === null ? [] : manifestsIn(value, origin);
  });
  if (manifests.length > 0) return manifests;
  throw bad(path, `holds no object; write apiVersion: ${API_VERSION}, kind, metadata and spec`);
}

function manifestsIn(value: unknown, origin: string): Manifest[] {
  const { kind, items } = fields(value, origin);
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)) {
    return items.map((item, index) => manifest(item, `${origin}, items[${index}]`));
  }
  return [manifest(value, origin)];
}

function manifest(value: unknown, origin: string): Manifest {
  const {
    apiVersion = API_VERSION,
    kind,
    metadata,
    spec,
    status,
    ...unknown
  } = fields(value, origin);
  if (apiVersion !== API_VERSION) {
    throw bad(origin, `apiVersion is ${JSON.stringify(apiVersion)}; use ${API_VERSION}`);
  }
  const known = MANIFEST_KINDS.find((name) => name === kind);
  if (known === undefined) {
    throw bad(origin, `kind is ${JSON.stringify(kind)}; use ${MANIFEST_KINDS.join(' or ')}`);
  }
  const [stray] = Object.keys(unknown);
  if (stray !== undefined)
    throw bad(origin, `unknown field "${stray}"; did you mean spec.${stray}?`);
  const { name } = fields(metadata ?? {}, origin);
  if (typeof name !== 'string' || name === '') throw bad(origin, 'metadata.name is missing');
  const kept = Object.entries(fields(metadata, origin)).filter(([key]) => !READ_ONLY.has(key));
  return { kind: known, name, input: { metadata: Object.fromEntries(kept), spec }, origin };
}

function fields(value: unknown, origin: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw bad(origin, 'is no object with apiVersion, kind, metadata and spec');
}

function bad(origin: string, what: string): CliError {
  return new CliError('BadInput', `${origin}: ${what}`);
}
