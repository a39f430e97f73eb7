import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { topics, wantSchema } from '@entrofleet/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { ChunkStore } from '../../apps/agent/src/chunk.store.ts';
import { download } from '../../apps/agent/src/download.ts';
import { createLog } from '../../apps/agent/src/log.ts';
import { UpdateJournal } from '../../apps/agent/src/update.journal.ts';
import { FakeBus } from '../fixtures/fake.bus.ts';
import {
  readSyntheticTable,
  syntheticArtifact,
  syntheticContents,
} from '../fixtures/synthetic.artifact.ts';

/** A file system of one mebibyte, or nothing where this user may not mount one. */
function smallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'entrofleet-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
}

const disk = smallDisk();
if (disk === undefined) console.warn('skipped: a full disk, because no tmpfs can be mounted here');

it.skipIf(disk === undefined)('a disk that fills up while downloading is given back', async () => {
  const folder = disk ?? '';
  onTestFinished(() => {
    execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true });
  });
  // given a disk with less room than was found free before the start
  const artifact = syntheticArtifact({ contents: syntheticContents(200) });
  const journal = new UpdateJournal(folder);
  const { record } = await journal.read(Date.now());
  await journal.write(record);
  await writeFile(join(folder, 'somebody-elses'), Buffer.alloc(500_000, 1));
  const store = await ChunkStore.open({
    folder,
    marginBytes: 0,
    reader: readSyntheticTable,
    freeBytes: async () => 1e9,
  });
  const bus = new FakeBus();
  bus.onPublish = ({ payload }) => {
    const { window } = wantSchema.parse(JSON.parse(payload));
    const next = artifact.chunks.filter((c) => !sent.has(c.index)).slice(0, window);
    for (const { index } of next) {
      sent.add(index);
      const topic = topics.chunk(artifact.ref.id, index);
      setImmediate(() => void bus.deliver(topic, artifact.chunk(index)));
    }
  };
  const sent = new Set<number>();
  const freeBefore = (await statfs(folder)).bavail;
  // when the artifact is downloaded
  const fetched = download({
    device: 'edge-1',
    ref: artifact.ref,
    store,
    bus,
    log: createLog('error'),
    windowChunks: 16,
    stallMs: 50,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  // then it fails as such, its space is free again, and the journal can be written
  await expect(fetched).rejects.toMatchObject({ reason: 'DiskFull' });
  expect(sent.size).toBeGreaterThan(50);
  expect(await readdir(join(folder, 'downloads'))).toEqual([]);
  expect((await statfs(folder)).bavail).toBeGreaterThanOrEqual(freeBefore - 2);
  await journal.write({ ...record, boot: record.boot + 1 });
  expect((await journal.read(Date.now())).record.boot).toBe(record.boot + 1);
});
