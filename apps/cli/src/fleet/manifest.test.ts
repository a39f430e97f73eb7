import { describe, expect, it } from 'vitest';
import { readManifests } from './manifest.ts';

const read = (text: string) => readManifests(text, 'f.yaml');

describe('readManifests', () => {
  it('reads documents of YAML, and JSON', () => {
    const yaml =
      'kind: Model\nmetadata: {name: a}\nspec: {x: 1}\n---\n---\nkind: Rollout\nmetadata: {name: b}\n';
    expect(read(yaml).map(({ kind, name }) => `${kind} ${name}`)).toEqual(['Model a', 'Rollout b']);
    const [json] = read('{"kind": "Model", "metadata": {"name": "a"}, "spec": {"x": 1}}');
    expect(json).toMatchObject({ name: 'a', input: { metadata: { name: 'a' }, spec: { x: 1 } } });
  });

  it('takes back what get prints, also a list, without what only the controller says', () => {
    const metadata = {
      name: 'a',
      uid: 'u',
      generation: 3,
      creationTimestamp: 't',
      labels: {},
      owner: null,
    };
    const object = {
      apiVersion: 'entrofleet.io/v1alpha1',
      kind: 'Model',
      metadata: { ...metadata, resourceVersion: '9' },
      spec: {},
      status: { variants: [] },
    };
    const wanted = { metadata: { name: 'a', labels: {}, resourceVersion: '9' }, spec: {} };
    expect(read(JSON.stringify(object))[0]?.input).toEqual(wanted);
    const list = {
      apiVersion: 'entrofleet.io/v1alpha1',
      kind: 'ModelList',
      items: [object, object],
    };
    const manifests = read(JSON.stringify(list));
    expect(manifests.map(({ origin }) => origin)).toEqual(['f.yaml, items[0]', 'f.yaml, items[1]']);
    expect(manifests[1]?.input).toEqual(wanted);
  });

  it.each([
    ['', 'f.yaml: holds no object'],
    ['a: [', 'f.yaml: '],
    ['kind: Pod\nmetadata: {name: a}', 'kind is "Pod"; use Model or Rollout'],
    ['apiVersion: v1\nkind: Model', 'apiVersion is "v1"; use entrofleet.io/v1alpha1'],
    ['kind: Model\nmetadata: {}', 'metadata.name is missing'],
    ['kind: Model\nmetadata: {name: a}\n---\njust text', 'f.yaml, document 2: is no object'],
    ['kind: Model\nmetadata: {name: a}\nvariants: []', 'unknown field "variants"'],
  ])('refuses %j', (text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});
