import { cp, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactRef } from '@entrofleet/protocol';
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

const NEVER = new AbortController().signal;

function openStore(folder: string, freeBytes = 1e9): Promise<ChunkStore> {
  return ChunkStore.open({
    folder,
    marginBytes: 1000,
    reader: readSyntheticTable,
    freeBytes: async () => freeBytes,
  });
}

async function fill(store: ChunkStore, artifact: SyntheticArtifact): Promise<string> {
  const partial = await store.openPartial(artifact.ref);
  for (const { index } of artifact.chunks) await partial.accept(index, artifact.chunk(index));
  return partial.finish();
}

const artifact = syntheticArtifact({ contents: syntheticContents(12), headerPaddingBytes: 6000 });
const last = artifact.ref.chunkCount - 1;
const headerCount = artifact.ref.headerChunks.length;

describe('a download', () => {
  it('becomes the artifact, byte for byte, in any order and with doubles', async () => {
    const store = await openStore(await scratchFolder());
    const partial = await store.openPartial(artifact.ref);
    expect([...partial.lacking().indices()]).toEqual([0, 1]);
    for (const index of [1, 0, 0, ...artifact.chunks.map((c) => c.index).reverse()]) {
      await partial.accept(index, artifact.chunk(index));
    }
    expect(partial.counters).toEqual({
      bytesReceived: artifact.ref.sizeBytes,
      bytesDuplicate: artifact.chunk(0).length * 2 + artifact.chunk(1).length,
      chunksCorrupt: 0,
    });
    const path = await partial.finish();
    expect((await readFile(path)).equals(artifact.bytes)).toBe(true);
    expect(await store.has(artifact.ref)).toBe(true);
    expect(await store.findDamaged(artifact.ref, NEVER)).toEqual([]);
  });

  it('keeps payload that comes before the header, and verifies it with the header', async () => {
    const store = await openStore(await scratchFolder());
    const partial = await store.openPartial(artifact.ref);
    const lent = Buffer.from(artifact.chunk(last));
    expect(await partial.accept(last, lent)).toBe('Early');
    lent.fill(0);
    expect(await partial.accept(last, artifact.chunk(last))).toBe('Duplicate');
    expect(await partial.accept(last - 1, Buffer.alloc(50))).toBe('Early');
    for (let i = 0; i < headerCount; i++) await partial.accept(i, artifact.chunk(i));
    expect(partial.chunksHeld).toBe(headerCount + 1);
    expect(partial.counters.chunksCorrupt).toBe(1);
    await partial.close();
  });

  it.each([
    ['of a wrong byte', 0, Buffer.alloc(4096, 1), 'Corrupt'],
    ['that is cut', 0, artifact.chunk(0).subarray(1), 'Corrupt'],
    ['that is too long', 0, Buffer.concat([artifact.chunk(0), Buffer.of(0)]), 'Corrupt'],
    ['that is empty', 0, Buffer.alloc(0), 'Corrupt'],
    ['of another index', 1, artifact.chunk(0), 'Corrupt'],
    ['past the last', last + 1, artifact.chunk(0), 'Foreign'],
    ['before the first', -1, artifact.chunk(0), 'Foreign'],
    ['of no index', Number.NaN, artifact.chunk(0), 'Foreign'],
    ['larger than any', last, Buffer.alloc(4097), 'Foreign'],
  ])('drops a chunk %s', async (_, index, payload, verdict) => {
    const store = await openStore(await scratchFolder());
    const partial = await store.openPartial(artifact.ref);
    expect(await partial.accept(index, payload)).toBe(verdict);
    expect(partial.chunksHeld).toBe(0);
    expect(await partial.accept(0, artifact.chunk(0))).toBe('Stored');
    await partial.close();
  });

  it('bounds the memory for chunks that cannot be verified yet', async () => {
    const many = syntheticArtifact({ contents: syntheticContents(100) });
    const store = await openStore(await scratchFolder());
    const partial = await store.openPartial(many.ref);
    const verdicts = await Promise.all(
      many.chunks
        .slice(many.ref.headerChunks.length)
        .map((c) => partial.accept(c.index, many.chunk(c.index))),
    );
    expect(verdicts.filter((v) => v === 'Early')).toHaveLength(32);
    await partial.close();
  });

  it('refuses a reference that contradicts itself', async () => {
    const store = await openStore(await scratchFolder());
    const ref: ArtifactRef = { ...artifact.ref, headerSizeBytes: 4096 * 9 };
    await expect(store.openPartial(ref)).rejects.toMatchObject({ reason: 'BadReference' });
  });

  it('refuses a header whose table contradicts the reference', async () => {
    const ref: ArtifactRef = { ...artifact.ref, chunkCount: artifact.ref.chunkCount + 1 };
    const store = await openStore(await scratchFolder());
    const partial = await store.openPartial(ref);
    await partial.accept(0, artifact.chunk(0));
    await expect(partial.accept(1, artifact.chunk(1))).rejects.toMatchObject({
      reason: 'BadHeader',
    });
    await partial.close();
  });

  it('does not start when the disk has no room for it beside the margin', async () => {
    const folder = await scratchFolder();
    const store = await openStore(folder, artifact.ref.sizeBytes + 999);
    await expect(store.openPartial(artifact.ref)).rejects.toMatchObject({
      reason: 'DiskFull',
      message: expect.stringContaining(`${artifact.ref.sizeBytes + 999} are free`),
    });
    expect(await readdir(join(folder, 'downloads'))).toEqual([]);
  });
});

/** A power loss: the files as they are on disk at this moment, opened by a new process. */
async function crashed(folder: string): Promise<string> {
  const copy = join(await scratchFolder(), 'copy');
  await cp(folder, copy, { recursive: true });
  return copy;
}

describe('after a crash', () => {
  it('nothing that is on disk is fetched again, although it was not claimed', async () => {
    const folder = await scratchFolder();
    const partial = await (await openStore(folder)).openPartial(artifact.ref);
    for (let i = 0; i < 9; i++) await partial.accept(i, artifact.chunk(i));
    const resumed = await (await openStore(await crashed(folder))).openPartial(artifact.ref);
    expect([...resumed.lacking().indices()]).toEqual([9, 10, 11, 12, 13]);
    expect(resumed.counters.bytesReceived).toBe(partial.counters.bytesReceived);
    expect(resumed.bytesHeld).toBe(partial.bytesHeld);
    await resumed.close();
    await partial.close();
  });

  it('never claims what is not there, wherever a file was cut or damaged', async () => {
    const folder = await scratchFolder();
    const partial = await (await openStore(folder)).openPartial(artifact.ref);
    for (let i = 0; i < 10; i++) await partial.accept(i, artifact.chunk(i));
    await partial.flush();
    await partial.close();
    const progress = `downloads/${artifact.ref.id}.progress`;
    const data = `downloads/${artifact.ref.id}.partial`;
    const damage = fc.record({
      dataBytes: fc.nat(artifact.ref.sizeBytes),
      progressBytes: fc.nat(120),
      garbage: fc.uint8Array({ maxLength: 200 }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ dataBytes, progressBytes, garbage }) => {
        const copy = await crashed(folder);
        await truncate(join(copy, data), dataBytes);
        if (garbage.length > 0) await writeFile(join(copy, progress), garbage);
        else await truncate(join(copy, progress), progressBytes);
        const store = await openStore(copy);
        const resumed = await store.openPartial(artifact.ref);
        for (let round = 0; round < 2; round++) {
          for (const index of resumed.lacking().indices()) {
            await resumed.accept(index, artifact.chunk(index));
          }
        }
        const path = await resumed.finish();
        expect((await readFile(path)).equals(artifact.bytes)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it('a crash between any two steps leaves a download that can be finished', async () => {
    const folder = await scratchFolder();
    const partial = await (await openStore(folder)).openPartial(artifact.ref);
    for (const { index } of artifact.chunks) {
      await partial.accept(index, artifact.chunk(index));
      if (index % 4 === 0) await partial.flush();
      const store = await openStore(await crashed(folder));
      const resumed = await store.openPartial(artifact.ref);
      expect(resumed.chunksHeld).toBe(index + 1);
      await resumed.close();
    }
    await partial.close();
  });
});

describe('the store', () => {
  it('copies chunks that another artifact here holds, verified, complete or not', async () => {
    const old = syntheticArtifact({ contents: syntheticContents(12) });
    const contents = syntheticContents(14);
    contents[3] = Buffer.alloc(4000, 7);
    const changed = syntheticArtifact({ contents });
    for (const complete of [true, false]) {
      const store = await openStore(await scratchFolder());
      const first = await store.openPartial(old.ref);
      for (const { index } of old.chunks) await first.accept(index, old.chunk(index));
      await (complete ? first.finish() : first.close());
      const partial = await store.openPartial(changed.ref);
      for (let i = 0; i < changed.ref.headerChunks.length; i++)
        await partial.accept(i, changed.chunk(i));
      await partial.reuse(await store.localChunks(changed.ref));
      const offset = changed.ref.headerChunks.length;
      expect([...partial.lacking().indices()]).toEqual([offset + 3, offset + 12, offset + 13]);
      for (const index of partial.lacking().indices())
        await partial.accept(index, changed.chunk(index));
      expect((await readFile(await partial.finish())).equals(changed.bytes)).toBe(true);
    }
  });

  it('finds damage and fetches only that again', async () => {
    const store = await openStore(await scratchFolder());
    const path = await fill(store, artifact);
    const bytes = await readFile(path);
    for (const index of [4, 9]) {
      const at = artifact.chunks[index]?.offset ?? 0;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
    }
    await writeFile(path, bytes);
    const damaged = await store.findDamaged(artifact.ref, NEVER);
    expect(damaged).toEqual([4, 9]);
    await store.reopen(artifact.ref, damaged);
    expect(await store.has(artifact.ref)).toBe(false);
    const partial = await store.openPartial(artifact.ref);
    expect([...partial.lacking().indices()]).toEqual([4, 9]);
    await partial.close();
  });

  it('finds damage in all of a file larger than what is read at a time, and what was cut off', async () => {
    const many = syntheticArtifact({ contents: syntheticContents(700) });
    const store = await openStore(await scratchFolder());
    const path = await fill(store, many);
    expect(await store.findDamaged(many.ref, NEVER)).toEqual([]);
    const bytes = await readFile(path);
    expect(bytes.length).toBeGreaterThan(2 * 1024 * 1024);
    const { ref, chunks } = many;
    const spoiled = [ref.headerChunks.length, 260, 261, 400, 640];
    for (const index of spoiled) {
      const { offset = 0, sizeBytes = 0 } = chunks[index] ?? {};
      const at = offset + sizeBytes - 1;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
    }
    const cut = ref.chunkCount - 2;
    await writeFile(path, bytes.subarray(0, (chunks[cut]?.offset ?? 0) + 1));
    expect(await store.findDamaged(ref, NEVER)).toEqual([...spoiled, cut, cut + 1]);
  });

  it('fetches only the header again when the header is damaged', async () => {
    const store = await openStore(await scratchFolder());
    const path = await fill(store, artifact);
    const bytes = await readFile(path);
    bytes[0] = 0;
    await writeFile(path, bytes);
    await store.reopen(artifact.ref, await store.findDamaged(artifact.ref, NEVER));
    const partial = await store.openPartial(artifact.ref);
    expect([...partial.lacking().indices()]).toEqual([0]);
    await partial.accept(0, artifact.chunk(0));
    expect(partial.complete).toBe(true);
    await partial.close();
  });

  it('deletes what is not kept', async () => {
    const folder = await scratchFolder();
    const store = await openStore(folder);
    await fill(store, artifact);
    const other = syntheticArtifact({ contents: syntheticContents(3, 'other') });
    await (await store.openPartial(other.ref)).close();
    await writeFile(join(folder, 'downloads', 'left.new'), 'x');
    expect(await store.collect([artifact.ref.id])).toBeGreaterThan(0);
    expect(await readdir(join(folder, 'downloads'))).toEqual([]);
    expect(await store.has(artifact.ref)).toBe(true);
    await store.collect([]);
    expect(await readdir(join(folder, 'artifacts'))).toEqual([]);
  });
});
