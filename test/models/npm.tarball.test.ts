import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTarMember } from '../../deploy/models/npm.tarball.ts';

let folder: string;
let tarball: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-tar-'));
  tarball = join(folder, 'a.tgz');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function tar(files: Readonly<Record<string, Buffer>>): Buffer {
  const blocks = Object.entries(files).flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name);
    header.write(content.length.toString(8).padStart(11, '0'), 124);
    header.write('0', 156);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe('one file of a tarball', () => {
  const content = Buffer.alloc(300_000, 'content');
  const files = { other: Buffer.alloc(700), wanted: content, last: Buffer.alloc(1_000_000) };
  const member = { path: 'wanted', limitBytes: 300_000 };

  it('is unpacked', async () => {
    await writeFile(tarball, gzipSync(tar(files)));
    expect(Buffer.from(await readTarMember(tarball, member))).toEqual(content);
  });

  it.each([
    ['it is absent', gzipSync(tar({ other: content })), /no complete file wanted/],
    ['it is too large', gzipSync(tar({ wanted: Buffer.alloc(300_001) })), /more than expected/],
    ['the archive is cut', gzipSync(tar(files)).subarray(0, 600), /cannot be unpacked/],
    ['it is no archive', Buffer.from('hello'), /cannot be unpacked/],
  ])('is refused when %s', async (_, bytes, message) => {
    await writeFile(tarball, bytes);
    const error: unknown = await readTarMember(tarball, member).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ reason: 'BadPackage' });
    expect(String(error)).toMatch(message);
  });
});
