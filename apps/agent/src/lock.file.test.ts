import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import { lockFolder } from './lock.file.ts';

it('lets one process in at a time, and the next after it', async () => {
  const folder = await scratchFolder();
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toMatchObject({
    reason: 'DataFolderInUse',
    message: expect.stringContaining(`process ${process.pid}`),
  });
  await lock.release();
  await (await lockFolder(folder)).release();
});

it.each([
  ['a dead process', '4194304 1\n'],
  ['a former process with our id', `${process.pid} 1\n`],
  ['a process that died while it wrote', ''],
  ['something else', 'what is this'],
])('takes a lock over that was left by %s', async (_, text) => {
  const folder = await scratchFolder();
  await writeFile(join(folder, 'agent.lock.1'), text);
  const lock = await lockFolder(folder);
  expect(await readFile(join(folder, 'agent.lock.2'), 'utf8')).toContain(`${process.pid} `);
  await lock.release();
});

it('lets exactly one of many in over a stale lock', async () => {
  for (let round = 0; round < 20; round++) {
    const folder = await scratchFolder();
    await writeFile(join(folder, 'agent.lock.1'), '4194304 1\n');
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    expect(tries.filter((t) => t.status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(folder)).toEqual(['agent.lock.2']);
  }
});
