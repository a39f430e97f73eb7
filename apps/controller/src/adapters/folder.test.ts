import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scratchFolder } from '../../../../test/fixtures/scratch.folder.ts';
import { makeFolder } from './folder.ts';

describe('makeFolder', () => {
  it('makes the folders above, and is content with what is there', async () => {
    const folder = join(await scratchFolder(), 'a', 'b');
    await Promise.all([makeFolder(folder), makeFolder(folder), makeFolder(folder)]);
    await makeFolder(folder);
    expect((await stat(folder)).isDirectory()).toBe(true);
  });

  it('fails, instead of trying for ever, where no folder can be made', async () => {
    await expect(makeFolder('/proc/entrofleet/data')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('fails where a file is in the way', async () => {
    const file = join(await scratchFolder(), 'file');
    await writeFile(file, '');
    await expect(makeFolder(file)).rejects.toMatchObject({ code: 'EEXIST' });
  });
});
