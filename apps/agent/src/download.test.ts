import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bitmap, topics, wantSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { FakeBus } from '../../../test/fixtures/fake.bus.ts';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import {
  readSyntheticTable,
  type SyntheticArtifact,
  syntheticArtifact,
  syntheticContents,
} from '../../../test/fixtures/synthetic.artifact.ts';
import { ChunkStore } from './chunk.store.ts';
import { type DownloadOptions, type DownloadProgress, download } from './download.ts';
import { createLog } from './log.ts';

const artifact = syntheticArtifact({ contents: syntheticContents(40) });
const { ref } = artifact;
const WINDOW = 8;

interface Weather {
  /** Chance of each trouble, from 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
  readonly corrupt: number;
  readonly random: () => number;
  /** The distributor does not send a chunk again that it has just sent. */
  readonly remembers: boolean;
}

const CALM: Weather = { loss: 0, duplicate: 0, corrupt: 0, random: () => 0.5, remembers: true };

/** Answers a want-list with a window of the wanted chunks, in random order and bad weather. */
function distribute(bus: FakeBus, from: SyntheticArtifact, weather: Weather): void {
  const sent = new Set<number>();
  bus.onPublish = ({ topic, payload }) => {
    if (topic !== topics.want('edge-1')) return;
    const want = wantSchema.parse(JSON.parse(payload));
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    const wanted = [...lacking.indices()].filter((i) => !sent.has(i)).slice(0, want.window);
    wanted.sort(() => weather.random() - 0.5);
    for (const index of wanted) {
      if (weather.remembers) sent.add(index);
      if (weather.random() < weather.loss) continue;
      const chunk = Buffer.from(from.chunk(index));
      if (weather.random() < weather.corrupt) chunk[0] = (chunk[0] ?? 0) ^ 1;
      const times = weather.random() < weather.duplicate ? 2 : 1;
      for (let i = 0; i < times; i++) {
        setImmediate(() => void bus.deliver(topics.chunk(from.ref.id, index), chunk));
      }
    }
  };
}

async function prepare(freeBytes = 1e9): Promise<{
  bus: FakeBus;
  store: ChunkStore;
  options: DownloadOptions;
  progress: DownloadProgress[];
  controller: AbortController;
}> {
  const bus = new FakeBus();
  const store = await ChunkStore.open({
    folder: await scratchFolder(),
    marginBytes: 0,
    reader: readSyntheticTable,
    freeBytes: async () => freeBytes,
  });
  const progress: DownloadProgress[] = [];
  const controller = new AbortController();
  const options: DownloadOptions = {
    device: 'edge-1',
    ref,
    store,
    bus,
    log: createLog('error'),
    windowChunks: WINDOW,
    stallMs: 20,
    signal: controller.signal,
    onProgress: (p) => progress.push(p),
  };
  return { bus, store, options, progress, controller };
}

it('fetches an artifact and leaves its topic', async () => {
  const { bus, store, options } = await prepare();
  distribute(bus, artifact, CALM);
  const result = await download(options);
  expect(result).toMatchObject({
    chunksHeld: ref.chunkCount,
    bytesHeld: ref.sizeBytes,
    bytesReceived: ref.sizeBytes,
    bytesDuplicate: 0,
  });
  expect((await readFile(store.path(ref.id))).equals(artifact.bytes)).toBe(true);
  expect(bus.filters).toEqual([]);
});

it('asks for the header first, then for what it lacks, within its window', async () => {
  const { bus, options } = await prepare();
  distribute(bus, artifact, CALM);
  await download(options);
  const wants = bus.published.map((m) => wantSchema.parse(JSON.parse(m.payload)));
  const asked = wants.map((w) => {
    const bytes = Buffer.from(w.lacking, 'base64');
    return [...Bitmap.fromBytes(bytes, w.chunkCount).indices()];
  });
  expect(asked[0]).toEqual(ref.headerChunks.map((_, i) => i));
  expect(asked[1]).toHaveLength(40);
  expect(wants.every((w) => w.window === WINDOW)).toBe(true);
});

it('gets there through loss, doubles, corruption and disorder', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(),
        loss: fc.double({ min: 0, max: 0.3, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 1, noNaN: true }),
        corrupt: fc.double({ min: 0, max: 0.3, noNaN: true }),
      }),
      async ({ seed, ...troubles }) => {
        let state = seed;
        const random = () => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return state / 2 ** 32;
        };
        const { bus, store, options } = await prepare();
        distribute(bus, artifact, { ...troubles, random, remembers: false });
        const result = await download({ ...options, stallMs: 1 });
        expect((await readFile(store.path(ref.id))).equals(artifact.bytes)).toBe(true);
        expect(result.bytesReceived).toBe(ref.sizeBytes);
      },
    ),
    { numRuns: 15 },
  );
});

it('says its want-list again when nothing comes, and when the bus is back', async () => {
  const { bus, options } = await prepare();
  bus.connected = false;
  const fetched = download(options);
  await vi.waitFor(() => expect(bus.filters).not.toHaveLength(0));
  expect(bus.published).toEqual([]);
  bus.reconnect();
  expect(bus.published).toHaveLength(1);
  await vi.waitFor(() => expect(bus.published.length).toBeGreaterThan(2));
  distribute(bus, artifact, CALM);
  await fetched;
});

it('goes on after a cancel where it stood', async () => {
  const { bus, options, progress, controller } = await prepare();
  distribute(bus, artifact, CALM);
  const stopping = download({
    ...options,
    onProgress: (p) => {
      progress.push(p);
      if (p.chunksHeld >= 15) controller.abort(new Error('stop'));
    },
  });
  await expect(stopping).rejects.toThrow('stop');
  const held = progress.at(-1)?.chunksHeld ?? 0;
  bus.published.length = 0;
  // What was under way when it stopped is gone by the time that it goes on.
  await sleep(20);
  distribute(bus, artifact, CALM);
  const result = await download({ ...options, signal: new AbortController().signal });
  const first = wantSchema.parse(JSON.parse(bus.published[0]?.payload ?? ''));
  const lacking = Bitmap.fromBytes(Buffer.from(first.lacking, 'base64'), ref.chunkCount);
  expect(lacking.count).toBeLessThanOrEqual(ref.chunkCount - held);
  expect(result.bytesReceived).toBe(ref.sizeBytes);
});

it('fetches only what no other artifact on the device holds', async () => {
  const { bus, options, store } = await prepare();
  distribute(bus, artifact, CALM);
  await download(options);
  const contents = syntheticContents(40);
  contents[5] = Buffer.alloc(3000, 9);
  const next = syntheticArtifact({ contents });
  distribute(bus, next, CALM);
  const result = await download({ ...options, ref: next.ref });
  expect(result.bytesReceived).toBe(3000 + next.ref.headerSizeBytes);
  expect((await readFile(store.path(next.ref.id))).equals(next.bytes)).toBe(true);
});

it('does not ask for what it is still copying, however long that takes', async () => {
  const { bus, options, store } = await prepare();
  distribute(bus, artifact, CALM);
  await download(options);
  const contents = syntheticContents(40);
  contents[5] = Buffer.alloc(3000, 9);
  const next = syntheticArtifact({ contents });
  distribute(bus, next, CALM);
  vi.spyOn(store, 'localChunks').mockImplementation(async (except) => {
    bus.reconnect();
    await sleep(5 * options.stallMs);
    return ChunkStore.prototype.localChunks.call(store, except);
  });
  const result = await download({ ...options, ref: next.ref });
  expect(result.bytesReceived).toBe(3000 + next.ref.headerSizeBytes);
});

it('asks for nothing when the artifact is here already', async () => {
  const { bus, options } = await prepare();
  distribute(bus, artifact, CALM);
  await download(options);
  bus.published.length = 0;
  expect(await download(options)).toMatchObject({ chunksHeld: ref.chunkCount, bytesReceived: 0 });
  expect(bus.published).toEqual([]);
});

it('fails with DiskFull before it asks when there is no room', async () => {
  const { bus, options } = await prepare(1000);
  await expect(download(options)).rejects.toMatchObject({ reason: 'DiskFull' });
  expect(bus.published).toEqual([]);
});
