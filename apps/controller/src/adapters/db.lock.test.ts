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
    expect(await readdir(join(path, '..'))).toEqual(['db.lock.2']);
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

  it('lets exactly one of many in over a stale lock, also while owners die', async () => {
    const path = await lockPath();
    await writeFile(path, JSON.stringify({ pid: 4_194_300, boot: 'any', startTicks: '1' }));
    for (let round = 0; round < 30; round++) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFile(path)));
      expect(tries.filter((t) => t.status === 'fulfilled')).toHaveLength(1);
      const [name = ''] = await readdir(join(path, '..'));
      expect(await readdir(join(path, '..'))).toHaveLength(1);
      // Its owner is killed: nobody gives it back.
      const dead = JSON.stringify({ pid: 4_194_300, boot: 'any', startTicks: '1' });
      await writeFile(join(path, '..', name), dead);
    }
  });
});
