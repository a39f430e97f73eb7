import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EncodedDelta,
  encodeArtifact,
  encodeDelta,
  openCheckpoint,
} from '@entrofleet/artifact';
import { type ArtifactRef, Bitmap, type Target, topics, wantSchema } from '@entrofleet/protocol';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../deploy/private/temporary.folder.ts';
import { FakeBus } from '../../../test/fixtures/fake.bus.ts';
import { writeFineTuned } from '../../../test/fixtures/fine.tuned.checkpoint.ts';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { ChunkStore } from './chunk.store.ts';
import { readChunkTables } from './chunk.tables.ts';
import { type DeltaDownloadOptions, type DeltaReport, downloadDelta } from './delta.download.ts';
import { download } from './download.ts';
import { createLog } from './log.ts';

const CHUNK_BYTES = 16 * 1024;
const STALL_MS = 20;
const DELTA_STALL_MS = 300;
const ONE_TENSOR = 'model.layers.0.mlp.gate_proj.weight';

interface StoredFile {
  readonly ref: ArtifactRef;
  readonly path: string;
}

let base: StoredFile;
/** Every tensor is a little different; only one is. */
let tuned: StoredFile & { readonly delta: StoredFile };
let patched: StoredFile & { readonly delta: StoredFile; readonly made: EncodedDelta };

beforeAll(async () => {
  const folder = await temporaryFolder('agent-delta');
  const source = await writeTinyCheckpoint(join(folder, 'source'), {
    ...{ hiddenSize: 256, intermediateSize: 512 },
  });
  const encoded = async (from: string, name: string): Promise<StoredFile> => {
    const checkpoint = await openCheckpoint(from);
    const path = join(folder, name);
    const recipe = { kind: 'affine', bits: 8 } as const;
    const work = { checkpoint, recipe, path, threads: 2, chunkSizeBytes: CHUNK_BYTES };
    const { ref } = await encodeArtifact(work);
    await checkpoint.close();
    return { ref, path };
  };
  base = await encoded(source, 'base.efa');
  const fineTuned = async (name: string, changes: (tensor: string) => boolean) => {
    const checkpoint = join(folder, name);
    await writeFineTuned(source, checkpoint, { kind: 'relative', noise: 0.01, changes });
    const target = await encoded(checkpoint, `${name}.efa`);
    const path = join(folder, `${name}.efd`);
    const made = await encodeDelta({ base: base.path, target: target.path, path, threads: 2 });
    return { ...target, delta: { ref: made.ref, path }, made };
  };
  tuned = await fineTuned('tuned', () => true);
  patched = await fineTuned('patched', (tensor) => tensor === ONE_TENSOR);
}, 60_000);

/** Hands out the chunks of these files, and counts the bytes of each. */
async function distribute(bus: FakeBus, files: readonly StoredFile[]) {
  const sentBytes = new Map<string, number>();
  const contents = new Map<string, { bytes: Buffer; table: ReturnType<typeof readChunkTables> }>();
  for (const { ref, path } of files) {
    const bytes = await readFile(path);
    contents.set(ref.id, { bytes, table: readChunkTables(bytes.subarray(0, ref.headerSizeBytes)) });
  }
  bus.onPublish = ({ topic, payload }) => {
    if (topic !== topics.want('edge-1')) return;
    const want = wantSchema.parse(JSON.parse(payload));
    const content = contents.get(want.artifact);
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    for (const index of [...lacking.indices()].slice(0, want.window)) {
      const chunk = content?.table[index];
      if (content === undefined || chunk === undefined) continue;
      const { offset, sizeBytes } = chunk;
      sentBytes.set(want.artifact, (sentBytes.get(want.artifact) ?? 0) + sizeBytes);
      const bytes = content.bytes.subarray(offset, offset + sizeBytes);
      setImmediate(() => void bus.deliver(topics.chunk(want.artifact, index), bytes));
    }
  };
  return sentBytes;
}

const targetOf = (to: StoredFile, delta: StoredFile | undefined): Target => ({
  ...{ model: 'tiny', variant: 'u8', artifact: to.ref, memoryBytes: 1, contextLength: 16 },
  kvCacheBytes: 1,
  probe: {
    promptTokens: [1],
    generateTokens: 1,
    fingerprint: { tokenIds: [1], logits: [0], standardDeviation: 1, tolerance: 1 },
  },
  samplePrompt: null,
  ...(delta === undefined ? {} : { deltas: [{ baseArtifactId: base.ref.id, file: delta.ref }] }),
});

interface Device {
  readonly store: ChunkStore;
  readonly options: DeltaDownloadOptions;
  readonly reports: DeltaReport[];
  readonly warnings: string[];
  readonly sentBytes: ReadonlyMap<string, number>;
  readonly abort: AbortController;
  /** The whole download, as the agent does it. @returns bytes received for the artifact itself. */
  fetch(): Promise<{ forDelta: number; forArtifact: number }>;
  content(): Promise<Buffer>;
}

async function device(
  target: Target,
  of: { readonly served: readonly StoredFile[]; readonly holdsBase?: boolean },
): Promise<Device> {
  const folder = await scratchFolder();
  const store = await ChunkStore.open({ folder, marginBytes: 0, reader: readChunkTables });
  if (of.holdsBase !== false) {
    await (await store.openPartial(base.ref)).discard();
    await copyFile(base.path, store.path(base.ref.id));
  }
  const bus = new FakeBus();
  const reports: DeltaReport[] = [];
  const warnings: string[] = [];
  const abort = new AbortController();
  const talk = {
    ...{ device: 'edge-1', store, bus, windowChunks: 64, stallMs: STALL_MS },
    ...{ signal: abort.signal, onProgress: () => undefined },
    log: createLog('warn', (line) => warnings.push(line)),
  };
  const options: DeltaDownloadOptions = {
    ...talk,
    target,
    threads: 2,
    deltaStallMs: DELTA_STALL_MS,
    onDelta: (report) => reports.push(report),
  };
  const fetch = async () => {
    const forDelta = await downloadDelta(options);
    const { bytesReceived } = await download({ ...talk, ref: target.artifact });
    return { forDelta, forArtifact: bytesReceived };
  };
  const content = () => readFile(store.path(target.artifact.id));
  const sentBytes = await distribute(bus, of.served);
  return { store, options, reports, warnings, sentBytes, abort, fetch, content };
}

async function damage(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

describe('a device that holds the base of a delta', () => {
  it('fetches the delta alone and has the same artifact', async () => {
    const at = await device(targetOf(tuned, tuned.delta), { served: [tuned, tuned.delta] });
    const { forDelta, forArtifact } = await at.fetch();
    expect(forDelta).toBe(tuned.delta.ref.sizeBytes);
    expect(forArtifact).toBe(0);
    expect([...at.sentBytes.keys()]).toEqual([tuned.delta.ref.id]);
    expect(await at.content()).toEqual(await readFile(tuned.path));
    expect(at.reports).toMatchObject([{ baseArtifactId: base.ref.id, outcome: 'Applied' }]);
    expect(at.warnings).toEqual([]);
    expect(await at.store.isComplete(tuned.delta.ref.id)).toBe(false);
  });

  it('fetches no more than the chunks of one changed tensor and 1 %', async () => {
    const at = await device(targetOf(patched, patched.delta), { served: [patched, patched.delta] });
    const { forDelta, forArtifact } = await at.fetch();
    const lacked = patched.made.items.reduce((sum, item) => sum + item.lackedBytes, 0);
    expect(forDelta + forArtifact).toBeLessThan(1.01 * lacked);
    expect(await at.content()).toEqual(await readFile(patched.path));
  });

  it('fetches the tensor whose base is damaged whole, and says so', async () => {
    const at = await device(targetOf(tuned, tuned.delta), { served: [tuned, tuned.delta] });
    await damage(at.store.path(base.ref.id), base.ref.sizeBytes - 5000);
    const { forArtifact } = await at.fetch();
    expect(forArtifact).toBeGreaterThan(0);
    expect(forArtifact).toBeLessThan(tuned.ref.sizeBytes / 2);
    expect(await at.content()).toEqual(await readFile(tuned.path));
    expect(at.reports).toMatchObject([{ outcome: 'FellBack' }]);
    expect(at.reports[0]?.message).toMatch(/^DeltaIncomplete: .*HashMismatch: .*is damaged/);
    expect(at.warnings.join('\n')).toContain('falls back');
  });

  it('fetches the artifact when nobody hands out the delta', async () => {
    const at = await device(targetOf(tuned, tuned.delta), { served: [tuned] });
    const { forDelta, forArtifact } = await at.fetch();
    expect(forDelta).toBe(0);
    // The files are the same in the base.
    expect(forArtifact).toBeGreaterThan(0.99 * tuned.ref.sizeBytes);
    expect(at.reports[0]?.message).toMatch(/^DeltaStalled: /);
    expect(await at.content()).toEqual(await readFile(tuned.path));
  });

  it('fetches the artifact when the delta gives another one', async () => {
    const at = await device(targetOf(tuned, patched.delta), { served: [tuned, patched.delta] });
    await at.fetch();
    expect(at.reports).toMatchObject([{ outcome: 'FellBack' }]);
    expect(at.reports[0]?.message).toMatch(/^BadDelta: /);
    expect(await at.content()).toEqual(await readFile(tuned.path));
  });

  it('goes on where it was aborted, with what it has of the delta', async () => {
    const target = targetOf(tuned, tuned.delta);
    const at = await device(target, { served: [tuned, tuned.delta] });
    const stopped = downloadDelta({
      ...at.options,
      onProgress: ({ bytesReceived }) => {
        if (bytesReceived > 0) at.abort.abort(new Error('held'));
      },
    });
    await expect(stopped).rejects.toThrow('held');
    expect(at.reports).toEqual([]);
    const again = new AbortController();
    const received = await downloadDelta({ ...at.options, signal: again.signal });
    expect(received).toBeLessThanOrEqual(tuned.delta.ref.sizeBytes);
    expect(at.reports).toMatchObject([{ outcome: 'Applied' }]);
  });
});

describe('a device for which there is no delta', () => {
  it('fetches the artifact and reports nothing', async () => {
    const without = await device(targetOf(tuned, undefined), { served: [tuned] });
    expect(await without.fetch()).toEqual({ forDelta: 0, forArtifact: expect.any(Number) });
    const served = [tuned, tuned.delta];
    const target = targetOf(tuned, tuned.delta);
    const baseless = await device(target, { served, holdsBase: false });
    expect((await baseless.fetch()).forArtifact).toBe(tuned.ref.sizeBytes);
    for (const at of [without, baseless]) {
      expect(at.reports).toEqual([]);
      expect([...at.sentBytes.keys()]).toEqual([tuned.ref.id]);
    }
  });

  it('leaves a delta alone that is larger than what is lacking', async () => {
    const at = await device(targetOf(tuned, tuned.delta), { served: [tuned, tuned.delta] });
    const slow = download({
      ...at.options,
      ref: tuned.ref,
      onProgress: ({ bytesHeld }) => {
        const left = tuned.ref.sizeBytes - bytesHeld;
        if (left < tuned.delta.ref.sizeBytes / 2) at.abort.abort(new Error('nearly done'));
      },
    });
    await slow.catch(() => undefined);
    const { signal } = new AbortController();
    expect(await downloadDelta({ ...at.options, signal })).toBe(0);
    expect(at.reports).toEqual([]);
  });
});
