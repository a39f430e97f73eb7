import type { RolloutStatus } from '@entrofleet/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KeyList } from '../../../../test/fixtures/key.list.ts';
import {
  digest,
  exampleArtifact,
  exampleModel,
  exampleRollout,
} from '../../../../test/support/fleet.examples.ts';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { Conflict, NotFound, Unprocessable } from '../errors.ts';
import { EventStore } from '../events/event.store.ts';
import { ModelReferences } from '../models/model.references.ts';
import { ModelStore } from '../models/model.store.ts';
import { RevisionArtifacts } from './revision.artifacts.ts';
import { RevisionStore } from './revision.store.ts';
import { RolloutService } from './rollout.service.ts';
import { RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';

let database: Database;
let store: RolloutStore;
let revisions: RevisionStore;
let service: RolloutService;
let wakeups: RolloutWakeups;
let events: EventStore;
let models: ModelStore;
let artifacts: ArtifactStore;

const { spec } = exampleRollout();
const input = (change: object = {}) => ({
  metadata: { name: 'r', labels: {} },
  spec: { ...spec, ...change },
});

beforeAll(async () => {
  const clock = new SystemClock();
  database = await Database.inMemory(new Log('error'));
  store = new RolloutStore(database, clock);
  revisions = new RevisionStore(database, clock);
  wakeups = new RolloutWakeups(store, new KeyList(), clock);
  events = new EventStore(database, clock);
  models = new ModelStore(database, clock);
  artifacts = new ArtifactStore(database);
  const recorded = new RevisionArtifacts(models, artifacts);
  service = new RolloutService(store, revisions, wakeups, events, clock, recorded);
});
beforeEach(async () => {
  await service.create(input());
});
afterEach(async () => {
  await database.query.deleteFrom('events').execute();
  if ((await store.find('r')) !== undefined) await service.remove('r', undefined);
});
afterAll(async () => {
  wakeups.onModuleDestroy();
  await database.close();
});

/** The reconciler has looked at it. */
async function seen(change: Partial<RolloutStatus>): Promise<void> {
  await store.updateStatus('r', ({ status }) => ({ ...status, ...change }));
}

function record(revision: number, outcome: 'InProgress' | 'Complete', change: object = {}) {
  const of = { ...spec, ...change, revisionHistoryLimit: 2 };
  return revisions.record('r', { revision, outcome, spec: of, artifactIds: [] });
}

describe('approve', () => {
  const progressing = {
    ...{ type: 'Progressing', status: 'False' as const, reason: 'AwaitingApproval', message: '' },
    ...{ lastTransitionTime: '2026-11-21T08:00:00.000Z', observedGeneration: 1 },
  };

  it('lets the wave open that waits, and is the same when it is repeated', async () => {
    await seen({ currentWave: 2, conditions: [progressing] });
    await service.approve('r', 4);
    expect((await service.approve('r')).status.approvedWave).toBe(3);
  });

  it('is refused when no wave waits, or another one', async () => {
    await expect(service.approve('r')).rejects.toThrow(Conflict);
    await seen({ currentWave: 2, conditions: [progressing] });
    await expect(service.approve('r', 3)).rejects.toThrow('wave 3 is not one that waits for');
  });
});

describe('abort', () => {
  it('is not undone by resume, and is by retry', async () => {
    const { status } = await service.abort('r');
    expect(status.abandoned).toMatchObject({ how: 'Abort', generation: 1 });
    expect((await service.abort('r')).status.abandoned).toEqual(status.abandoned);
    await expect(service.resume('r')).rejects.toThrow('retry it or change its spec');
    expect((await service.retry('r')).status.abandoned).toBeNull();
  });

  it('leaves nothing to pause, and says what there is to do', async () => {
    await service.abort('r');
    await expect(service.pause('r')).rejects.toThrow(Conflict);
    await expect(service.pause('r')).rejects.toThrow('was aborted; retry it or change its spec');
    expect((await store.get('r')).spec.paused).toBe(false);
    await service.retry('r');
    expect((await service.pause('r')).spec.paused).toBe(true);
  });
});

describe('rollback', () => {
  it('sets the spec back to the revision before, or the one that is named', async () => {
    await record(1, 'Complete', { samplePrompt: 'one' });
    await record(2, 'Complete', { samplePrompt: 'two' });
    await record(3, 'InProgress', { samplePrompt: 'three' });
    await seen({ revision: 3 });
    const before = await service.rollBack('r');
    expect(before.spec.samplePrompt).toBe('two');
    expect(before.metadata.generation).toBe(2);
    expect((await service.rollBack('r', 1)).spec.samplePrompt).toBe('one');
  });

  it('rolls out the artifacts that the revision did, where the model has others by now', async () => {
    const [old, present] = [digest('old'), digest('present')];
    const { spec: of, status } = exampleModel({ artifactId: present });
    await models.create({ name: 'stories', labels: {}, spec: of, status });
    const u8 = { ...spec, variant: 'u8', revisionHistoryLimit: 5 };
    for (const [revision, id] of [
      [1, old],
      [2, present],
      [3, digest('third')],
    ] as const) {
      const outcome = 'Complete';
      await revisions.record('r', { revision, outcome, spec: u8, artifactIds: [id] });
    }
    await expect(service.rollBack('r', 1)).rejects.toThrow(Conflict);
    await expect(service.rollBack('r', 1)).rejects.toThrow(`rolled out ${old}, which no device`);
    expect((await store.get('r')).metadata.generation).toBe(1);
    await artifacts.save(exampleArtifact({ id: old }));
    expect((await service.rollBack('r', 1)).spec.artifactIds).toEqual([old]);
    expect(await new ModelReferences(database).artifactsOnDevices()).toEqual(new Set([old]));
    expect((await service.rollBack('r', 2)).spec.artifactIds).toBeUndefined();
    await models.delete('stories', {});
  });

  it('names the revisions that there are when it is none of them', async () => {
    await record(1, 'InProgress');
    await expect(service.rollBack('r', 7)).rejects.toThrow(NotFound);
    await expect(service.rollBack('r', 7)).rejects.toThrow('recorded: 1');
    await seen({ revision: 1 });
    await expect(service.rollBack('r')).rejects.toThrow(NotFound);
  });
});

describe('revisions', () => {
  it('are kept up to the limit besides the last, with what became of them', async () => {
    await record(1, 'Complete');
    await record(2, 'InProgress');
    await record(3, 'InProgress');
    await record(4, 'InProgress');
    await record(4, 'InProgress');
    const outcomes = (await revisions.list('r')).map((each) => [each.revision, each.outcome]);
    expect(outcomes).toEqual([
      [4, 'InProgress'],
      [3, 'Superseded'],
      [2, 'Superseded'],
    ]);
  });

  it('stay complete when a device joins late, and go with the rollout', async () => {
    await record(1, 'Complete');
    await record(1, 'InProgress');
    expect(await revisions.list('r')).toMatchObject([{ outcome: 'Complete' }]);
    await service.remove('r', undefined);
    expect(await revisions.list('r')).toEqual([]);
    await record(2, 'InProgress');
    expect(await revisions.list('r')).toEqual([]);
  });
});

describe('a rollout that Kubernetes owns', () => {
  const actor = {
    manager: 'Kubernetes',
    ...{ namespace: 'default', name: 'r', uid: 'u1', generation: 1, adopt: true },
  } as const;
  const owned = { status: 409, reason: 'OwnedByKubernetes' };
  beforeEach(async () => {
    await service.apply(input(), actor);
  });
  afterEach(() => service.release('r', actor));

  it('knows its owner and which generation that asked for', async () => {
    const { rollout } = await service.apply(input({ model: 'other' }), { ...actor, generation: 2 });
    expect(rollout.metadata.generation).toBe(2);
    expect(rollout.metadata.owner).toMatchObject({
      uid: 'u1',
      generation: 2,
      appliedGeneration: 2,
    });
    const again = await service.apply(input({ model: 'other' }), { ...actor, generation: 3 });
    expect(again.rollout.metadata.owner).toMatchObject({ generation: 3, appliedGeneration: 2 });
  });

  it('is not changed by other clients', async () => {
    const before = await store.get('r');
    await expect(service.create(input())).rejects.toMatchObject(owned);
    await expect(service.apply(input())).rejects.toMatchObject(owned);
    await expect(service.pause('r')).rejects.toMatchObject(owned);
    await expect(service.remove('r', undefined)).rejects.toMatchObject(owned);
    expect(await store.get('r')).toEqual(before);
  });

  it('can still be gone on with, retried and aborted, which changes no spec', async () => {
    const before = await store.get('r');
    await service.resume('r');
    await service.abort('r');
    expect((await service.retry('r')).spec).toEqual(before.spec);
  });

  it('is resumed by its owner when its owner has paused it', async () => {
    await service.apply(input({ paused: true }), { ...actor, generation: 2 });
    await expect(service.resume('r')).rejects.toMatchObject(owned);
  });

  it('is nobody’s after its resource has vanished, and says so once', async () => {
    await service.release('r', { ...actor, namespace: 'elsewhere' });
    expect((await store.get('r')).metadata.owner).not.toBeNull();
    await service.release('r', actor);
    await service.release('r', actor);
    expect((await store.get('r')).metadata.owner).toBeNull();
    const { items } = await events.list({ kind: 'Rollout', name: 'r' });
    expect(items.filter(({ reason }) => reason === 'Released')).toHaveLength(1);
    await service.pause('r');
  });

  it('is deleted by the very resource only', async () => {
    const namesake = { ...actor, uid: 'u2' };
    await expect(service.remove('r', undefined, namesake)).rejects.toMatchObject(owned);
    await service.remove('r', undefined, actor);
    expect(await store.find('r')).toBeUndefined();
    await service.create(input());
  });
});

it('turns down windows that name no time, with the field', async () => {
  const window = { cron: '99 * * * *', durationSeconds: 60, timeZone: 'UTC' };
  const strategy = { ...spec.strategy, windows: { download: [window], activation: [] } };
  await expect(service.apply(input({ strategy }))).rejects.toThrow(Unprocessable);
  await expect(service.apply(input({ strategy }))).rejects.toThrow('windows.download[0]');
});
