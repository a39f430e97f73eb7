import { createReadStream, type ReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StartupError } from '../errors.ts';

const ARTIFACT_FILE = /^([0-9a-f]{64})\.efa$/;
const DRAFT_FILE = /\.draft(\.|$)/;

/** Artifact files in a folder, named by artifact id. A file is complete once it has its name. */
export class BlobStore {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @throws StartupError `BlobFolderUnusable`. */
  static async open(folder: string): Promise<BlobStore> {
    try {
      await mkdir(folder, { recursive: true });
    } catch (cause) {
      throw new StartupError(
        'BlobFolderUnusable',
        `cannot create ENTROFLEET_BLOB_DIR ${folder}: ${messageOf(cause)}`,
        { cause },
      );
    }
    return new BlobStore(folder);
  }

  path(id: string): string {
    return join(this.folder, `${id}.efa`);
  }

  /** Where a file of yet unknown id is written; on the same file system, for a rename. */
  draftPath(name: string): string {
    return join(this.folder, `${name}.draft`);
  }

  /** Size of a stored file, or `undefined` when there is none. */
  async sizeBytes(id: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(id))).size;
    } catch {
      return undefined;
    }
  }

  /** `end` is inclusive, as in HTTP ranges. */
  read(id: string, range?: { start: number; end: number }): ReadStream {
    return createReadStream(this.path(id), range);
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  /** Ids of all stored files. */
  async ids(): Promise<string[]> {
    const names = await readdir(this.folder);
    return names.flatMap((name) => ARTIFACT_FILE.exec(name)?.[1] ?? []);
  }

  /** Removes what killed compressions left behind. Only while none of them runs. */
  async removeDrafts(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (DRAFT_FILE.test(name)) await rm(join(this.folder, name), { force: true });
    }
  }
}
