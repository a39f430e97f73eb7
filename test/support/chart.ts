import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { HELM_VERSIONS, Helm, type HelmVersion, hasHelm } from './helm.ts';
import type { PodSpec } from './pod.security.ts';

export const CHART = resolve(import.meta.dirname, '../../charts/entrofleet');
/** Sets of values for every combination that matters. */
export const VALUE_SETS: readonly string[] = readdirSync(join(CHART, 'ci'));
export const RELEASE = 'release';
export const NAMESPACE = 'fleet';

/** Versions of helm that could be fetched; the others are named loudly. */
export const PRESENT_HELMS: readonly HelmVersion[] = HELM_VERSIONS.filter((version) => {
  if (!hasHelm(version)) {
    console.warn(`SKIPPED: the chart with helm ${version}: it could not be fetched`);
  }
  return hasHelm(version);
});

export type Labels = Readonly<Record<string, string>>;

/** An object that the chart renders, as far as tests read it. */
export interface ChartObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels: Labels;
    readonly annotations?: Labels;
  };
  readonly rules?: readonly object[];
  readonly data?: Labels;
  readonly spec?: Readonly<Record<string, unknown>> & {
    readonly selector?: { readonly matchLabels?: Labels };
    readonly replicas?: number;
    readonly template?: {
      readonly metadata: { readonly labels: Labels; readonly annotations?: Labels };
      readonly spec: PodSpec;
    };
  };
}

export interface Workload {
  /** Kind and name. */
  readonly id: string;
  readonly object: ChartObject;
  readonly labels: Labels;
  readonly pod: PodSpec;
}

export const valuesPath = (set: string): string => join(CHART, 'ci', set);

/** Writes values of a test's own to a file. @returns its path. */
export async function valuesFile(values: object | string): Promise<string> {
  const path = join(await temporaryFolder('values'), 'values.yaml');
  await writeFile(path, typeof values === 'string' ? values : stringify(values));
  return path;
}

/** What `helm template` prints. */
export async function renderText(
  version: HelmVersion,
  options: readonly string[],
  release = RELEASE,
): Promise<string> {
  const helm = new Helm({ version });
  return helm.run('template', release, CHART, '--namespace', NAMESPACE, ...options);
}

/** What was rendered before in this process: helm takes a tenth of a second each time. */
const rendered = new Map<string, Promise<string>>();

/** The chart's objects with one set of values: a file of ci/, or values of a test's own. */
export async function renderChart(
  values: string | object,
  options: { readonly version?: HelmVersion; readonly release?: string } = {},
): Promise<ChartObject[]> {
  const { version = PRESENT_HELMS[0] ?? '4.1', release = RELEASE } = options;
  const key = JSON.stringify([values, version, release]);
  const render = async (): Promise<string> => {
    const path = typeof values === 'string' ? valuesPath(values) : await valuesFile(values);
    return renderText(version, ['--values', path], release);
  };
  const text = rendered.get(key) ?? render();
  rendered.set(key, text);
  return objectsOf(await text);
}

/** @throws Error when it is not YAML. */
export function objectsOf(text: string): ChartObject[] {
  return parseAllDocuments(text)
    .map((document) => {
      if (document.errors[0] !== undefined) throw document.errors[0];
      return document.toJS();
    })
    .filter((object) => object !== null);
}

export const idOf = ({ kind, metadata }: ChartObject): string => `${kind}/${metadata.name}`;

export function find(objects: readonly ChartObject[], id: string): ChartObject {
  const found = objects.find((object) => idOf(object) === id);
  if (found === undefined) throw new Error(`no ${id} in ${objects.map(idOf).join(', ')}`);
  return found;
}

/** Everything that becomes pods, the pod of `helm test` included. */
export function workloads(objects: readonly ChartObject[]): Workload[] {
  return objects.flatMap((object) => {
    const id = idOf(object);
    if (object.kind === 'Pod') {
      const pod = Object(object.spec);
      return [{ id, object, labels: object.metadata.labels, pod }];
    }
    const template = object.spec?.template;
    if (template === undefined) return [];
    return [{ id, object, labels: template.metadata.labels, pod: template.spec }];
  });
}

/** A container's variables by name; of one that comes from elsewhere, the reference. */
export function environmentOf(workload: Workload): Record<string, unknown> {
  const env = workload.pod.containers[0]?.env ?? [];
  return Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));
}
