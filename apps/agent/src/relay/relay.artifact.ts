import { type FileHandle, open } from 'node:fs/promises';
import type { ArtifactRef } from '@entrofleet/protocol';
import { readExactly } from '../chunk.bytes.ts';
import { type ChunkEntry, readTable, sha256Of } from '../chunk.layout.ts';
import { readChunkTables } from '../chunk.tables.ts';
import { AgentError } from '../errors.ts';

/** An artifact that the relay hands out, complete or as far as it has come. */
export class RelayArtifact {
  readonly ref: ArtifactRef;
  #isHeld: (index: number) => boolean = () => false;
  #opened: Promise<{ file: FileHandle; table: readonly ChunkEntry[] }> | undefined;
  #isReady = false;
  /** All of it is here, so nothing has to be fetched. */
  isComplete = false;

  constructor(ref: ArtifactRef) {
    this.ref = ref;
  }

  /** Whether the chunk can be read now. */
  has(index: number): boolean {
    return this.#isReady && this.#isHeld(index);
  }

  /**
   * Begins to hand out of a file whose header is complete; it may be renamed while it is open.
   * @throws AgentError when the header is not the artifact's, or the system's error.
   */
  async open(path: string, isHeld: (index: number) => boolean): Promise<void> {
    this.#opened ??= this.#open(path);
    try {
      await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
    this.#isHeld = isHeld;
    this.#isReady = true;
  }

  /** @throws AgentError `HashMismatch` when the disk has spoilt the chunk. */
  async read(index: number): Promise<Uint8Array> {
    const { file, table } = (await this.#opened) ?? {};
    const chunk = table?.[index];
    if (file !== undefined && chunk !== undefined) {
      const bytes = await readExactly(file, chunk);
      if (bytes !== undefined && sha256Of(bytes) === chunk.sha256) return bytes;
    }
    const message = `chunk ${index} of ${this.ref.id} at the relay has another SHA-256`;
    throw new AgentError('HashMismatch', message);
  }

  async close(): Promise<void> {
    this.#isReady = false;
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.file.close();
  }

  async #open(path: string): Promise<{ file: FileHandle; table: readonly ChunkEntry[] }> {
    const file = await open(path, 'r');
    try {
      const { ref } = this;
      const whole = { offset: 0, sizeBytes: ref.headerSizeBytes };
      const header = (await readExactly(file, whole)) ?? new Uint8Array();
      return { file, table: readTable({ ref, header, reader: readChunkTables }) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}
