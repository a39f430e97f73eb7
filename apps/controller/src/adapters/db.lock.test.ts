import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lockFile } from './db.lock.ts';

async function lockPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-lock-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'db.lock');
}

describe('lockFile', () => {
  it('keeps a second owner away until it is given back', async () => {
    const path = await lockPath();
    const unlock = await lockFile(path);
    await expect(lockFile(path)).rejects.toMatchObject({ reason: 'DataFolderInUse' });
    await expect(lockFile(path)).rejects.toThrow(String(process.pid));
    await unlock();
    await (await lockFile(path))();
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  it.each([
    ['a dead process', { pid: 4_194_300, boot: 'any', startTicks: '1' }],
    ['another process with the same pid', { pid: process.pid, boot: 'any', startTicks: '1' }],
    ['a half-written file', 'nonsense'],
  ])('takes over the lock of %s', async (_, owner) => {
    const path = await lockPath();
    await writeFile(path, typeof owner === 'string' ? owner : JSON.stringify(owner));
    const unlock = await lockFile(path);
    await expect(lockFile(path)).rejects.toMatchObject({ reason: 'DataFolderInUse' });
    await unlock();
  });
});
