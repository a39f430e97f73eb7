import { ArtifactError } from './artifact.error.ts';
import type { ChunkEntry } from './artifact.header.ts';
import { forEachParallel } from './bounded.parallel.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import { sha256 } from './chunk.hash.ts';
import { encodeTotals } from './encode.totals.ts';
import type { EncodedArtifact } from './encode.types.ts';
import { type EncodingPlan, requirePlanned } from './encoding.plan.ts';
import type { GroupContent } from './group.encoder.ts';
import { parseHeader } from './header.parser.ts';
import { writeHeader } from './header.writer.ts';
import { PartFile } from './part.file.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';

const COPY_BYTES = 4 * 1024 * 1024;
const HASHES_IN_FLIGHT = 4;

/** An encoded group: its header entries, and its payload to be read from the start. */
export interface AssemblyPart {
  readonly content: GroupContent;
  read(target: Uint8Array, offset: number): Promise<number>;
  /** The error of a payload without its content's hashes. Absent: nobody else can have written it. */
  reject?(): Promise<ArtifactError>;
}

export interface AssemblyWork {
  readonly checkpoint: Checkpoint;
  readonly plan: EncodingPlan;
  /** Where the artifact goes; a file that is there is replaced at the end, in one step. */
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the payload that is copied, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Puts the header in front of the parts' payloads. Payloads pass through in blocks of 4 MiB, so it
 * holds the header entries of all tensors and little more.
 * @param pathOf the part file of a group.
 * @throws ArtifactError `BadPart` when one is absent or damaged (a damaged one is removed),
 *   `HeaderTooLarge`, `WriteFailed`, `DiskFull`, `ReadFailed`; CheckpointError `SourceChanged`;
 *   the signal's reason.
 */
export async function assembleParts(
  work: AssemblyWork,
  pathOf: (index: number) => string,
): Promise<EncodedArtifact> {
  const { plan } = work;
  requirePlanned(work.checkpoint, plan);
  await removeAbandoned(work.path);
  const parts: PartFile[] = [];
  try {
    for (const index of plan.groups.keys()) {
      const path = pathOf(index);
      const part = await PartFile.open({ plan, index, path });
      if (part === undefined) {
        throw new ArtifactError('BadPart', `${path} is no usable part; encode it again`);
      }
      parts.push(part);
    }
    return await assembleArtifact(work, parts);
  } finally {
    await Promise.all(parts.map((part) => part.close()));
  }
}

/** {@link assembleParts} from open parts, in the order of the plan's groups. */
export async function assembleArtifact(
  work: AssemblyWork,
  parts: readonly AssemblyPart[],
): Promise<EncodedArtifact> {
  const { checkpoint, plan, path } = work;
  const tensors = parts.flatMap(({ content }) => content.tensors);
  const header = writeHeader({
    chunkSizeBytes: plan.chunkSizeBytes,
    config: checkpoint.config,
    recipe: plan.recipe,
    sharedCode: plan.sharedCode,
    files: parts.flatMap(({ content }) => content.files),
    tensors: tensors.map((tensor) => tensor.json),
  });
  // A header that its own reader refuses must not be published.
  const { ref } = parseHeader(header);
  const artifact = await PartialFile.create(path);
  try {
    await artifact.append(header);
    for (const part of parts) {
      await copyPayload(part, artifact, {
        signal: work.signal,
        onBlock: () => work.onProgress?.(artifact.sizeBytes / ref.sizeBytes),
      });
    }
    await checkpoint.requireUnchanged();
    await artifact.publish();
  } finally {
    await artifact.discard();
  }
  return { ref, tensors: tensors.map(({ stats }) => stats), totals: encodeTotals(tensors) };
}

async function copyPayload(
  part: AssemblyPart,
  artifact: PartialFile,
  options: { signal: AbortSignal | undefined; onBlock: () => void },
): Promise<void> {
  let offset = 0;
  for (const chunks of blocksOf(part.content)) {
    options.signal?.throwIfAborted();
    const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, 0));
    const got = await part.read(bytes, offset);
    const isGood = got === bytes.length && (!part.reject || (await haveHashes(bytes, chunks)));
    if (!isGood) throw (await part.reject?.()) ?? becameShorter();
    await artifact.append(bytes);
    offset += bytes.length;
    options.onBlock();
  }
}

function becameShorter(): ArtifactError {
  const message = 'a temporary file of the encoder became shorter; leave it alone and encode again';
  return new ArtifactError('BadPart', message);
}

/** Runs of whole chunks, of about the size of a good read. */
function* blocksOf({ files, tensors }: GroupContent): Generator<ChunkEntry[]> {
  let block: ChunkEntry[] = [];
  let sizeBytes = 0;
  for (const { chunks } of [...files, ...tensors.map((tensor) => tensor.json)]) {
    for (const chunk of chunks) {
      if (block.length > 0 && sizeBytes + chunk.sizeBytes > COPY_BYTES) {
        yield block;
        block = [];
        sizeBytes = 0;
      }
      block.push(chunk);
      sizeBytes += chunk.sizeBytes;
    }
  }
  if (block.length > 0) yield block;
}

async function haveHashes(
  bytes: Uint8Array<ArrayBuffer>,
  chunks: readonly ChunkEntry[],
): Promise<boolean> {
  let offset = 0;
  const slices = chunks.map((chunk) => {
    const slice = bytes.subarray(offset, offset + chunk.sizeBytes);
    offset += chunk.sizeBytes;
    return { slice, hash: chunk.sha256 };
  });
  let good = true;
  await forEachParallel(slices, HASHES_IN_FLIGHT, async ({ slice, hash }) => {
    if ((await sha256(slice)) !== hash) good = false;
  });
  return good;
}
