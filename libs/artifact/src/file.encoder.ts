import { deflateSync } from 'fflate';
import type { Checkpoint } from './checkpoint.reader.ts';
import { cutEvenly } from './chunk.cutter.ts';
import type { FileJson } from './header.writer.ts';
import type { PartialFile } from './partial.file.ts';
import { appendChunks } from './payload.writer.ts';

/**
 * Appends a carried file, deflated (RFC 1951) where that makes it smaller. fflate is used rather
 * than zlib because zlib's output depends on its version and on the CPU, fflate's only on its
 * version, which is pinned.
 */
export async function encodeFile(
  input: { checkpoint: Checkpoint; name: string; chunkSizeBytes: number },
  payload: PartialFile,
): Promise<FileJson> {
  const { checkpoint, name, chunkSizeBytes } = input;
  const content = await checkpoint.readFile(name);
  const deflated = deflateSync(content, { level: 6 });
  const smaller = deflated.length < content.length;
  const bytes = new Uint8Array(smaller ? deflated : content);
  const cut = cutEvenly(bytes.length, { unitBytes: 1, chunkSizeBytes });
  const chunks = await appendChunks(payload, bytes, cut);
  return { name, codec: smaller ? 'deflate' : 'identity', sizeBytes: content.length, chunks };
}
