import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  type CustomResource,
  MODEL_RESOURCE,
  ROLLOUT_RESOURCE,
} from '../../apps/controller/src/kube/custom.resources.ts';
import type { Kube } from '../../deploy/private/kube.ts';
import {
  administrator,
  applyDefinitions,
  CRD_FOLDER,
  EXAMPLES_FOLDER,
  startKube,
} from '../support/kube.ts';
import type { Kubectl } from '../support/kubectl.ts';

const EXAMPLES = readdirSync(EXAMPLES_FOLDER);
const ROLLOUT: object = readExample('rollout.yaml');
const MODEL: object = readExample('model.yaml');

function readExample(name: string): object {
  return parse(readFileSync(join(EXAMPLES_FOLDER, name), 'utf8'));
}

/** The line of one object in a table that kubectl prints, by the names of the columns. */
function row(table: string, name: string): Record<string, string> {
  const [head = '', ...lines] = table.trimEnd().split('\n');
  const line = lines.find((text) => text.startsWith(`${name} `)) ?? '';
  const columns = [...head.matchAll(/\S+(?: \S+)*/g)];
  return Object.fromEntries(
    columns.map(({ 0: column, index }, nth) => [
      column,
      line.slice(index, columns[nth + 1]?.index).trim(),
    ]),
  );
}

/** Names of the columns of a resource, as they are shown without `-o wide`. */
function columnsOf(resource: CustomResource): string[] {
  const shown = resource.columns.filter(({ priority }) => priority === undefined);
  return ['NAME', ...shown.map(({ name }) => name.toUpperCase())];
}

/** The example under another name, with fields of its spec replaced. */
function rollout(name: string, spec: object = {}): object {
  return { ...ROLLOUT, metadata: { name }, spec: { ...Object(ROLLOUT).spec, ...spec } };
}

function model(name: string, spec: object = {}): object {
  return { ...MODEL, metadata: { name }, spec: { ...Object(MODEL).spec, ...spec } };
}

const NONE = { failed: 0, offline: 0, pending: 0, unfit: 0, conflict: 0 };
const COUNTS = { ...NONE, selected: 3, active: 2, updating: 1 };

function status(change: object): object {
  return {
    observedGeneration: 1,
    phase: 'Progressing',
    revision: 1,
    specDigest: 'a'.repeat(64),
    artifactId: null,
    attempt: 0,
    currentWave: 2,
    totalWaves: 3,
    wave: '3/3',
    counts: COUNTS,
    conditions: [],
    ...change,
  };
}

function condition(type: string, value: 'True' | 'False', generation: number): object {
  return {
    type,
    status: value,
    reason: 'Tested',
    // As ours mostly have it.
    message: '',
    lastTransitionTime: '2026-11-21T08:00:00Z',
    observedGeneration: generation,
  };
}

let kube: Kube;
let kubectl: Kubectl;

beforeAll(async () => {
  kube = await startKube();
  kubectl = administrator(kube);
  await applyDefinitions(kubectl);
});
afterAll(() => kube.stop());

describe('the definitions', () => {
  test('are accepted without a complaint about their schemas', async () => {
    for (const definition of await kubectl.list('crds')) {
      const { conditions = [] } = definition.status ?? {};
      const shown = Object.fromEntries(conditions.map(({ type, status: value }) => [type, value]));
      expect(shown, definition.metadata.name).toEqual({
        NamesAccepted: 'True',
        Established: 'True',
      });
    }
  });

  test('are brought up to date by applying them again, which changes nothing now', async () => {
    const before = await kubectl.list('crds');
    expect(before).toHaveLength(readdirSync(CRD_FOLDER).length);
    await applyDefinitions(kubectl);
    const after = await kubectl.list('crds');
    const versions = (definitions: typeof before) =>
      definitions.map(({ metadata }) => [metadata.name, metadata.generation, metadata.uid]);
    expect(versions(after)).toEqual(versions(before));
  });

  test('replace an older definition in place: objects stay, new fields are kept', async () => {
    const name = 'rollouts.entrofleet.io';
    await kubectl.apply(rollout('upgraded', { samplePrompt: 'Once' }));
    const path = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/samplePrompt';
    const older = JSON.stringify([{ op: 'remove', path }]);
    await kubectl.run(['patch', 'crd', name, '--type=json', '-p', older]);
    const pruned = async (): Promise<boolean> =>
      (await kubectl.get('rollout/upgraded')).spec.samplePrompt === undefined;
    await expect.poll(pruned, { timeout: 20_000 }).toBe(true);
    await kubectl.run(['apply', '--server-side', '--force-conflicts', '-f', CRD_FOLDER]);
    await expect.poll(pruned, { timeout: 20_000 }).toBe(false);
  });
});

describe('kubectl', () => {
  test.each(EXAMPLES)('would create deploy/examples/%s as it is written', async (name) => {
    const path = join(EXAMPLES_FOLDER, name);
    const printed = await kubectl.run(['apply', '--dry-run=server', '-o', 'json', '-f', path]);
    const example = Object(readExample(name));
    expect(JSON.parse(printed)).toMatchObject({ kind: example.kind, spec: example.spec });
    const { metadata } = example;
    await expect(kubectl.get(`${example.kind}/${metadata.name}`)).rejects.toThrow('NotFound');
  });

  test('shows a rollout in columns, also by its short name and category', async () => {
    await kubectl.apply(rollout('columns'));
    await kubectl.patchStatus('rollout/columns', status({ phase: 'Paused' }));
    const shown = row(await kubectl.run(['get', 'ro']), 'columns');
    expect(Object.keys(shown)).toEqual(columnsOf(ROLLOUT_RESOURCE));
    const counts = { WAVE: '3/3', ACTIVE: '2', SELECTED: '3' };
    expect(shown).toMatchObject({ MODEL: 'demo', PHASE: 'Paused', ...counts });
    const everything = await kubectl.run(['get', 'entrofleet', '-o', 'name']);
    expect(everything).toContain('rollout.entrofleet.io/columns\n');
    expect(row(await kubectl.run(['get', 'ro', '-o', 'wide']), 'columns').OFFLINE).toBe('0');
  });

  test('shows a model in columns, also by its short name', async () => {
    await kubectl.apply(model('columns'));
    await kubectl.patchStatus('model/columns', {
      observedGeneration: 1,
      variants: [],
      conditions: [condition('Ready', 'True', 1), condition('QualityBound', 'False', 1)],
    });
    const shown = row(await kubectl.run(['get', 'mdl']), 'columns');
    expect(Object.keys(shown)).toEqual(columnsOf(MODEL_RESOURCE));
    expect(shown).toMatchObject({ READY: 'True', REASON: 'Tested', 'WITHIN BOUND': 'False' });
  });

  test('explains fields in the words of the schemas', async () => {
    const explained = await kubectl.run(['explain', 'rollout.spec.strategy.onFailure']);
    expect(explained).toContain('What happens past the error threshold');
  });

  test('edits and pauses: each change of the spec is a generation', async () => {
    await kubectl.apply(rollout('edited'));
    const editor = 'sed -i s/maxUnavailable:.*/maxUnavailable:\\ 2/';
    await kubectl.run(['edit', 'rollout', 'edited'], { environment: { KUBE_EDITOR: editor } });
    await kubectl.patchSpec('rollout/edited', { paused: true });
    const { metadata, spec } = await kubectl.get('rollout/edited');
    expect(spec).toMatchObject({ paused: true, strategy: { maxUnavailable: 2 } });
    expect(metadata.generation).toBe(3);
  });

  test('deletes', async () => {
    await kubectl.apply(rollout('deleted'));
    await kubectl.run(['delete', 'rollout', 'deleted']);
    await expect(kubectl.get('rollout/deleted')).rejects.toThrow('NotFound');
  });

  test.each([
    ['by itself', []],
    ['on the server', ['--server-side']],
  ])('applies again %s without a change, although defaults were filled in', async (_how, flags) => {
    await kubectl.run(['delete', 'rollout', 'again', '--ignore-not-found']);
    await kubectl.apply(rollout('again'), ...flags);
    const before = await kubectl.get('rollout/again');
    await kubectl.apply(rollout('again'), ...flags);
    const after = await kubectl.get('rollout/again');
    expect(after.spec).toEqual(before.spec);
    expect(after.metadata).toMatchObject({ generation: 1, uid: before.metadata.uid });
  });

  test('waits for a condition of this generation, not of an older one', async () => {
    await kubectl.apply(rollout('awaited'));
    const wait = (timeout: string) =>
      kubectl.attempt(['wait', '--for=condition=Complete', 'rollout/awaited', timeout]);
    const complete = (generation: number) =>
      status({
        observedGeneration: generation,
        phase: 'Complete',
        conditions: [condition('Complete', 'True', generation)],
      });
    await kubectl.patchStatus('rollout/awaited', complete(1));
    expect((await wait('--timeout=10s')).status).toBe(0);
    await kubectl.patchSpec('rollout/awaited', { samplePrompt: 'Once' });
    expect((await wait('--timeout=1s')).stderr).toContain('timed out');
    await kubectl.patchStatus('rollout/awaited', complete(2));
    expect((await wait('--timeout=10s')).status).toBe(0);
  });
});

describe('the API server', () => {
  test('fills in the defaults of the schemas', async () => {
    await kubectl.apply(rollout('filled', { strategy: {} }));
    const { spec } = await kubectl.get('rollout/filled');
    expect(spec).toMatchObject({
      preference: 'Quality',
      paused: false,
      revisionHistoryLimit: 10,
      strategy: {
        waves: [{ count: 1 }, { percent: 25 }, { percent: 100 }],
        onFailure: 'Pause',
        retries: { limit: 0, backoffSeconds: 30 },
        progressDeadlineSeconds: 600,
      },
    });
  });

  test('keeps spec and status apart', async () => {
    await kubectl.apply({ ...rollout('apart'), status: status({ phase: 'Complete' }) });
    expect((await kubectl.get('rollout/apart')).status).toBeUndefined();
    const both = JSON.stringify({ spec: { paused: true }, status: status({ phase: 'Paused' }) });
    const patch = ['patch', 'rollout', 'apart', '--type=merge', '--subresource=status', '-p', both];
    await kubectl.run(patch);
    const { metadata, spec, status: stored } = await kubectl.get('rollout/apart');
    expect(spec.paused).toBe(false);
    expect(stored?.phase).toBe('Paused');
    expect(metadata.generation).toBe(1);
  });

  test('refuses a status that is none', async () => {
    await kubectl.apply(rollout('status'));
    const attempt = kubectl.patchStatus('rollout/status', status({ phase: 'Happy' }));
    await expect(attempt).rejects.toThrow('status.phase: Unsupported value: "Happy"');
  });
});

const waves = (wave: object) => ({ strategy: { waves: [wave] } });
const gate = (change: object) => ({
  strategy: { gates: [{ name: 'g', metric: 'perplexity', max: 2, ...change }] },
});

test.each([
  ['no model', rollout('bad', { model: undefined }), 'spec.model: Required value'],
  ['no selector', rollout('bad', { selector: undefined }), 'spec.selector: Required value'],
  ['a name with a dot', rollout('a.b'), 'metadata.name in body should match'],
  ['a name of 64 letters', rollout('a'.repeat(64)), 'metadata.name in body should be at most 63'],
  ['a text for a flag', rollout('bad', { paused: 'yes' }), 'spec.paused in body must be of type'],
  ['no wave', rollout('bad', { strategy: { waves: [] } }), 'should have at least 1 items'],
  ['an empty wave', rollout('bad', waves({ count: 0 })), 'count in body should be greater than'],
  ['more than all', rollout('bad', waves({ percent: 101 })), 'should be less than or equal to 100'],
  [
    'none of them',
    rollout('bad', waves({ percent: 0 })),
    'percent in body should be greater than 0',
  ],
  ['a share without %', rollout('bad', { strategy: { maxUnavailable: '25' } }), 'maxUnavailable'],
  ['an unknown gate', rollout('bad', gate({ metric: 'joy' })), 'Unsupported value: "joy"'],
  [
    'two gates of one name',
    rollout('bad', {
      strategy: { gates: [1, 2].map(() => ({ name: 'g', metric: 'perplexity' })) },
    }),
    'Duplicate value',
  ],
  ['an unknown answer', rollout('bad', { strategy: { onFailure: 'Cry' } }), '"Pause", "RollBack"'],
  [
    'a label no device could have',
    rollout('bad', { selector: { matchLabels: { site: 'a b' } } }),
    'matchLabels.site in body should match',
  ],
  [
    'an unknown operator',
    rollout('bad', { selector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } }),
    'Unsupported value: "Like"',
  ],
  ['a model without variants', model('bad', { variants: [] }), 'at least 1 items'],
  ['a model without a source', model('bad', { source: {} }), 'spec.source.path: Required value'],
  [
    'a layout that is none',
    model('bad', { variants: [{ name: 'u8', recipe: 'u8', layout: 'best' }] }),
    'Unsupported value: "best"',
  ],
  [
    'one variant twice',
    model('bad', { variants: [1, 2].map(() => ({ name: 'u8', recipe: 'u8' })) }),
    'spec.variants[1]: Duplicate value',
  ],
  ['a bound below 1', model('bad', { quality: { maxPerplexityRatio: 0.5 } }), 'maxPerplexityRatio'],
])('refuses %s and says why', async (_what, object, said) => {
  // Without kubectl's own checks, so that it is the API server that answers.
  const { status: code, stderr } = await kubectl.attemptApply(object, '--validate=false');
  expect(stderr).toContain(said);
  expect(code).not.toBe(0);
});
