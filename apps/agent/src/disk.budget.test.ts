import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import {
  readSyntheticTable,
  type SyntheticArtifact,
  syntheticArtifact,
  syntheticContents,
} from '../../../test/fixtures/synthetic.artifact.ts';
import { ChunkStore } from './chunk.store.ts';
import { planCollection } from './collection.plan.ts';
import { DiskBudget } from './disk.budget.ts';

const CHUNKS = 40;
const artifacts = ['a', 'b', 'c', 'd', 'e'].map((seed) =>
  syntheticArtifact({ contents: syntheticContents(CHUNKS, seed) }),
);
const ids = artifacts.map(({ ref }) => ref.id);

async function fill(store: ChunkStore, artifact: SyntheticArtifact): Promise<void> {
  const partial = await store.openPartial(artifact.ref);
  for (const { index } of artifact.chunks) await partial.accept(index, artifact.chunk(index));
  await partial.finish();
}

async function prepare(budgetBytes: number | null) {
  const folder = await scratchFolder();
  const store = await ChunkStore.open({ folder, marginBytes: 0, reader: readSyntheticTable });
  const budget = new DiskBudget({ store, budgetBytes });
  const held = async () => {
    const stored = (await store.stored()).map(({ id }) => id);
    return ids.map((id, i) => (stored.includes(id) ? i : -1)).filter((i) => i >= 0);
  };
  return { folder, store, budget, held };
}

/** What one of the artifacts takes on this disk. */
async function oneBytes(): Promise<number> {
  const { store } = await prepare(null);
  await fill(store, artifacts[0] as SyntheticArtifact);
  return store.bytesOf(ids[0] as string);
}

describe('a disk budget', () => {
  it('keeps older artifacts while there is room, those used longest ago go first', async () => {
    const { store, budget, held } = await prepare(3.5 * (await oneBytes()));
    const update = async (i: number) => {
      const artifact = artifacts[i] as SyntheticArtifact;
      const keep = [ids[i], ids[i - 1]].filter((id) => id !== undefined);
      await budget.makeRoom(artifact.ref, keep);
      await fill(store, artifact);
      await budget.collect(keep);
    };
    for (const i of [0, 1, 2]) await update(i);
    expect(await held()).toEqual([0, 1, 2]);
    await budget.collect([ids[0] as string, ids[2] as string]);
    await update(3);
    expect(await held()).toEqual([0, 2, 3]);
  });

  it('does not go by the clock', async () => {
    const { folder, store, budget, held } = await prepare(3.5 * (await oneBytes()));
    for (const i of [0, 1, 2]) {
      await fill(store, artifacts[i] as SyntheticArtifact);
      await budget.collect([ids[i] as string]);
    }
    const newest = join(folder, 'artifacts', `${ids[2]}.efa`);
    await utimes(newest, 1, 1);
    await budget.makeRoom((artifacts[3] as SyntheticArtifact).ref, [ids[2] as string]);
    expect(await held()).toEqual([1, 2]);
  });

  it('that is full of what is in use says so, and deletes none of it', async () => {
    const { store, budget, held } = await prepare(2.5 * (await oneBytes()));
    for (const i of [0, 1]) await fill(store, artifacts[i] as SyntheticArtifact);
    const keep = ids.slice(0, 2);
    const { ref } = artifacts[2] as SyntheticArtifact;
    await expect(budget.makeRoom(ref, keep)).rejects.toMatchObject({ reason: 'DiskFull' });
    expect(await held()).toEqual([0, 1]);
  });

  it('that is not set keeps only what is in use', async () => {
    const { store, budget, held } = await prepare(null);
    for (const i of [0, 1, 2]) await fill(store, artifacts[i] as SyntheticArtifact);
    await budget.collect([ids[1] as string]);
    expect(await held()).toEqual([1]);
  });
});

it('a plan never removes what is to be kept, nor more than it must', () => {
  const stored = fc.uniqueArray(
    fc.record({ id: fc.constantFrom(...'abcdefgh'), sizeBytes: fc.nat(9), usedOrder: fc.nat(9) }),
    { selector: ({ id }) => id },
  );
  const keeps = fc.subarray([...'abcdefgh']);
  fc.assert(
    fc.property(stored, keeps, fc.nat(50), (all, keep, allowedBytes) => {
      const { remove, leftBytes } = planCollection({ stored: all, keep, allowedBytes });
      expect(remove.filter((id) => keep.includes(id))).toEqual([]);
      const spare = all.filter(({ id }) => !keep.includes(id) && !remove.includes(id));
      if (leftBytes > allowedBytes) expect(spare).toEqual([]);
      const last = all.find(({ id }) => id === remove.at(-1));
      if (last !== undefined) expect(leftBytes + last.sizeBytes).toBeGreaterThan(allowedBytes);
      const newest = Math.max(
        0,
        ...all.filter((a) => remove.includes(a.id)).map((a) => a.usedOrder),
      );
      for (const { usedOrder } of spare) expect(usedOrder).toBeGreaterThanOrEqual(newest);
    }),
  );
});
