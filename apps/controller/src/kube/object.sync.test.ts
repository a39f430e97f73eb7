import type { Owner } from '@entrofleet/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { exampleRollout } from '../../../../test/support/fleet.examples.ts';
import { SystemClock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { Conflict, Unprocessable } from '../errors.ts';
import type { KubernetesActor } from '../objects/ownership.rule.ts';
import { ownerAfterApply } from '../objects/ownership.rule.ts';
import { ROLLOUT_RESOURCE } from './custom.resources.ts';
import type { KubeClient, MetadataChange, SeenObject } from './kube.client.ts';
import { KubeConflict, KubeNotFound } from './kube.error.ts';
import type { KubeObject } from './kube.object.ts';
import { Leadership } from './leadership.ts';
import { ObjectSync } from './object.sync.ts';
import { StatusWriter } from './status.writer.ts';
import type { SyncedKind, SyncedObject } from './synced.kinds.ts';

/** One namespace with objects of one resource, whose watch says what the test wants it to. */
class FakeServer {
  readonly objects = new Map<string, KubeObject>();
  /** What the watch has heard; what is not there was not heard of. */
  readonly heard = new Map<string, KubeObject>();
  isSynced = true;
  writes: string[] = [];
  #version = 100;

  put(change: Partial<KubeObject['metadata']> = {}, spec: unknown = {}): KubeObject {
    const metadata = {
      ...{ name: 'demo', namespace: 'default', uid: 'u1', generation: 1 },
      ...{ finalizers: [], labels: {}, annotations: {} },
      ...change,
      resourceVersion: String(++this.#version),
    };
    return this.#store({ metadata, spec, status: this.objects.get(metadata.name)?.status });
  }

  hear(): void {
    this.heard.clear();
    for (const [name, object] of this.objects) this.heard.set(name, object);
  }

  drop(name: string): void {
    this.objects.delete(name);
  }

  get watch() {
    const server = this;
    return {
      find: (name: string) => server.heard.get(name),
      get isSynced() {
        return server.isSynced;
      },
      get objects() {
        return [...server.heard.values()];
      },
    };
  }

  get client(): KubeClient {
    return Object.assign(Object.create(null), {
      namespace: 'default',
      get: async (_resource: unknown, name: string) => this.objects.get(name),
      patchMetadata: async (_resource: unknown, seen: SeenObject, change: MetadataChange) => {
        const current = this.#seen(seen);
        this.writes.push('metadata');
        const finalizers = [...(change.finalizers ?? current.metadata.finalizers)];
        const after = this.#store({
          ...current,
          metadata: {
            ...current.metadata,
            finalizers,
            resourceVersion: String(++this.#version),
          },
        });
        const isGone = current.metadata.deletionTimestamp !== undefined && finalizers.length === 0;
        if (isGone) this.objects.delete(seen.name);
        return after;
      },
      replaceStatus: async (_resource: unknown, seen: SeenObject, status: object) => {
        const current = this.#seen(seen);
        this.writes.push('status');
        const metadata = { ...current.metadata, resourceVersion: String(++this.#version) };
        return this.#store({ ...current, metadata, status });
      },
    });
  }

  #seen({ name, uid, resourceVersion }: SeenObject): KubeObject {
    const current = this.objects.get(name);
    if (current?.metadata.uid !== uid) {
      throw new KubeNotFound({ reason: 'NotFound', message: 'gone' });
    }
    if (current.metadata.resourceVersion === resourceVersion) return current;
    throw new KubeConflict({ reason: 'Conflict', message: 'newer' });
  }

  #store(object: KubeObject): KubeObject {
    this.objects.set(object.metadata.name, object);
    return object;
  }
}

class SwitchedLeadership extends Leadership {
  isOn = true;

  isLeader(): boolean {
    return this.isOn;
  }

  whenChanged(): () => void {
    return () => undefined;
  }

  async resign(): Promise<void> {
    this.isOn = false;
  }
}

let server: FakeServer;
let leadership: SwitchedLeadership;
let stored: SyncedObject | undefined;
let refusal: Error | undefined;
let applied: number;
let sync: ObjectSync;

const kind: SyncedKind = {
  resource: ROLLOUT_RESOURCE,
  store: { table: 'rollouts', fromRows: async () => [] },
  find: async () => stored,
  namesOwnedBy: async () => [],
  wanted: ({ spec, metadata: { labels } }) => ({
    input: {
      spec: { ...exampleRollout().spec, ...Object(spec) },
      labels,
      apply: async (actor) => {
        applied++;
        if (refusal !== undefined) throw refusal;
        keep(actor, { ...exampleRollout().spec, ...Object(spec) });
      },
    },
  }),
  remove: async () => {
    if (refusal !== undefined) throw refusal;
    stored = undefined;
  },
  release: async () => {
    if (stored) stored = { ...stored, metadata: { ...stored.metadata, owner: null } };
  },
  initialStatus: () => exampleRollout().status,
  shown: (status) => status,
};

function keep(actor: KubernetesActor, spec: SyncedObject['spec']): void {
  const base = stored ?? exampleRollout();
  const owner = ownerAfterApply(actor, base, spec);
  const metadata = { ...base.metadata, name: actor.name, labels: {}, owner };
  stored = Object.assign({}, base, { metadata, spec });
}

function ownerOf(): Owner | null | undefined {
  return stored?.metadata.owner;
}

async function settle(): Promise<void> {
  sync.enqueue('demo');
  await sync.whenIdle();
}

function synced() {
  const { conditions = [] } = Object(server.objects.get('demo')?.status);
  return conditions.find(({ type }: { type: string }) => type === 'Synced');
}

beforeEach(() => {
  server = new FakeServer();
  leadership = new SwitchedLeadership();
  [stored, refusal, applied] = [undefined, undefined, 0];
  const { client } = server;
  sync = new ObjectSync({
    ...{ kind, client, leadership, watch: server.watch },
    writer: new StatusWriter(client, { intervalMs: 5000 }),
    clock: new SystemClock(),
    log: new Log('error'),
  });
});

describe('ObjectSync', () => {
  it('takes a resource over in one go, though the watch tells of nothing meanwhile', async () => {
    server.put();
    server.hear();
    await settle();
    expect(ownerOf()).toMatchObject({ uid: 'u1', generation: 1 });
    expect(synced()).toMatchObject({ status: 'True' });
    expect(server.writes).toEqual(['metadata', 'status']);
  });

  it('does nothing again, whether or not the watch has caught up', async () => {
    server.put();
    server.hear();
    await settle();
    await settle();
    server.hear();
    await settle();
    expect([server.writes.length, applied]).toEqual([2, 1]);
  });

  it('reads again what has changed under its hands', async () => {
    server.put();
    server.hear();
    server.put({ annotations: { by: 'another' } });
    await settle();
    expect(server.objects.get('demo')?.metadata.annotations).toEqual({ by: 'another' });
    expect(synced()).toMatchObject({ status: 'True' });
  });

  it('tries what was turned down once, not at every look', async () => {
    refusal = new Unprocessable({ reason: 'FolderMissing', message: 'no folder' });
    server.put();
    server.hear();
    await settle();
    server.hear();
    await settle();
    expect(synced()).toMatchObject({ status: 'False', reason: 'FolderMissing' });
    expect(applied).toBe(1);
    refusal = undefined;
    const { finalizers } = server.objects.get('demo')?.metadata ?? expect.fail();
    server.put({ generation: 2, finalizers }, { samplePrompt: 'x' });
    server.hear();
    await settle();
    expect(synced()).toMatchObject({ status: 'True' });
  });

  it('leaves everything alone when it is not the leader, and until all is listed', async () => {
    server.put();
    server.hear();
    leadership.isOn = false;
    await settle();
    leadership.isOn = true;
    server.isSynced = false;
    await settle();
    expect([server.writes, stored]).toEqual([[], undefined]);
  });

  it('deletes on a deletion, and not before the object can go', async () => {
    server.put();
    server.hear();
    await settle();
    refusal = new Conflict('ModelInUse', 'named by a rollout');
    const { finalizers } = server.objects.get('demo')?.metadata ?? expect.fail();
    server.put({ finalizers, deletionTimestamp: '2026-11-21T08:00:00Z' });
    server.hear();
    await settle();
    expect(stored).toBeDefined();
    expect(Object(server.objects.get('demo')?.status).conditions).toContainEqual(
      expect.objectContaining({ type: 'Deleted', status: 'False', reason: 'ModelInUse' }),
    );
    refusal = undefined;
    sync.retryRemovals();
    await sync.whenIdle();
    expect([stored, server.objects.size]).toEqual([undefined, 0]);
  });

  it('releases what is gone, but not what a list has merely left out', async () => {
    server.put();
    server.hear();
    await settle();
    server.heard.clear();
    await settle();
    expect(ownerOf()).not.toBeNull();
    server.drop('demo');
    await settle();
    expect(ownerOf()).toBeNull();
    expect(stored).toBeDefined();
  });
});
