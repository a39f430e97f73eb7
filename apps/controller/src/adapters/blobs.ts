import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { messageOf, StartupError } from '../errors.ts';
import { makeFolder } from './folder.ts';

const ARTIFACT_FILE = /^([0-9a-f]{64})\.efa$/;
const DRAFT_FILE = /\.(?<pid>\d+)\.[0-9a-f-]{36}\.draft/;
const DRAFT_OLD_MS = 24 * 3600_000;

/** Artifact files in a folder, named by artifact id. A file is complete once it has its name. */
export class BlobStore {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @throws StartupError `BlobFolderUnusable`. */
  static async open(folder: string): Promise<BlobStore> {
    try {
      await makeFolder(folder);
    } catch (cause) {
      throw new StartupError(
        'BlobFolderUnusable',
        `cannot create ENTROFLEET_BLOB_DIR ${folder}: ${messageOf(cause)}`,
        { cause },
      );
    }
    return new BlobStore(folder);
  }

  fileName(id: string): string {
    return `${id}.efa`;
  }

  path(id: string): string {
    return join(this.folder, this.fileName(id));
  }

  /** Where a file of yet unknown id is written; on the same file system, for a rename. */
  newDraftPath(): string {
    return join(this.folder, `${hostname()}.${process.pid}.${randomUUID()}.draft`);
  }

  /** Size of a stored file, or `undefined` when there is none. */
  async sizeBytes(id: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(id))).size;
    } catch {
      return undefined;
    }
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  /** Ids of the stored files that have not been written for so long. */
  async idsOlderThan(ageMs: number): Promise<string[]> {
    const ids: string[] = [];
    for (const name of await readdir(this.folder)) {
      const id = ARTIFACT_FILE.exec(name)?.[1];
      if (id === undefined) continue;
      const age = await ageOf(join(this.folder, name));
      if (age !== undefined && age > ageMs) ids.push(id);
    }
    return ids;
  }

  /** Gives a finished draft its name; it survives a power loss once this resolves. */
  async adopt(draftPath: string, id: string): Promise<void> {
    await rename(draftPath, this.path(id));
    const folder = await open(this.folder);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  /** Removes a draft that was not adopted, with what its writer left beside it. */
  async removeDraft(draftPath: string): Promise<void> {
    const prefix = basename(draftPath);
    for (const name of await readdir(this.folder)) {
      if (name.startsWith(prefix)) await rm(join(this.folder, name), { force: true });
    }
  }

  /** Removes drafts of killed processes. Call it before this process writes its first one. */
  async removeDeadDrafts(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const pid = DRAFT_FILE.exec(name)?.groups?.pid;
      if (pid === undefined) continue;
      const path = join(this.folder, name);
      const isOld = ((await ageOf(path)) ?? 0) > DRAFT_OLD_MS;
      const isOurs = name.startsWith(`${hostname()}.`);
      if (isOld || (isOurs && !isOtherAlive(Number(pid)))) await rm(path, { force: true });
    }
  }
}

/** Milliseconds since it was written, or `undefined` when another worker has removed it meanwhile. */
async function ageOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? undefined : Date.now() - found.mtimeMs;
}

/** In a container the killed process often had our own pid. */
function isOtherAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
