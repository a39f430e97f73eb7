import { assembleArtifact } from './artifact.assembler.ts';
import { ArtifactError } from './artifact.error.ts';
import { type EncodeGroup, GROUP_SIZE_BYTES_DEFAULT } from './encode.groups.ts';
import { ProgressMeter } from './encode.progress.ts';
import type { EncodedArtifact, EncodeOptions } from './encode.types.ts';
import { type EncodingPlan, planEncoding } from './encoding.plan.ts';
import { encodeGroup } from './group.encoder.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';

/**
 * Encodes a checkpoint into an artifact file (FORMAT.md). The same source and recipe give the same
 * bytes on every machine and for every number of threads, also when several processes encode a
 * group each ({@link encodePart}) and one assembles them ({@link assembleParts}). Tensors pass
 * through one at a time; {@link encodePeakBytes} has the sum of the memory in use.
 *
 * The header stands in front but is known last, so the payload goes to a temporary file beside the
 * target and is copied behind the header at the end: one more sequential pass over the coded
 * bytes, against a format whose header would have to be padded to a guessed size. Nothing
 * unfinished ever stands under `path`, and nothing is left behind after an error.
 *
 * @throws CheckpointError when the source cannot be used, e.g. `NonFiniteWeight`.
 * @throws ArtifactError `BadArgument`, `WriteFailed`, `DiskFull`, `HeaderTooLarge`.
 * @throws the reason of `signal` once it is aborted.
 */
export async function encodeArtifact(options: EncodeOptions): Promise<EncodedArtifact> {
  const chunkSizeBytes = options.chunkSizeBytes ?? ARTIFACT_LIMITS.chunkSizeBytesDefault;
  checkOptions({ chunkSizeBytes, threads: options.threads });
  const { path, checkpoint, recipe, calibration, threads, signal } = options;
  signal?.throwIfAborted();
  const meter = new ProgressMeter({
    recipe: recipe.kind,
    totalBytes: checkpoint.tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
    report: options.onProgress,
  });
  const plan = await planEncoding({
    checkpoint,
    recipe,
    layout: options.layout,
    calibration,
    chunkSizeBytes,
    groupSizeBytes: GROUP_SIZE_BYTES_DEFAULT,
    threads,
    signal,
    onProgress: (fraction, tensor) => meter.advance('measure', fraction, tensor),
  });
  await removeAbandoned(path);
  const payload = await PartialFile.create(path);
  try {
    const onDone = (doneBytes: number, tensor: string) =>
      meter.advance('encode', doneBytes / plan.tensorBytes, tensor);
    const calibrationFolder = calibration?.folder;
    const work = { checkpoint, plan, threads, calibrationFolder, signal, onProgress: onDone };
    const content = await encodeGroup(wholeOf(plan), work, payload);
    const part = { content, read: payload.read.bind(payload) };
    const onProgress = (fraction: number) => meter.advance('write', fraction, null);
    return await assembleArtifact({ checkpoint, plan, path, signal, onProgress }, [part]);
  } finally {
    await payload.discard();
  }
}

function wholeOf({ groups, tensorBytes }: EncodingPlan): EncodeGroup {
  const files = groups.flatMap((group) => group.files);
  return { files, tensors: groups.flatMap((group) => group.tensors), sizeBytes: tensorBytes };
}

function checkOptions(options: { chunkSizeBytes: number; threads: number }): void {
  const { chunkSizeBytesMin, chunkSizeBytesMax } = ARTIFACT_LIMITS;
  const { chunkSizeBytes: size, threads } = options;
  if (!Number.isSafeInteger(size) || size < chunkSizeBytesMin || size > chunkSizeBytesMax) {
    throw new ArtifactError(
      'BadArgument',
      `chunkSizeBytes is ${size}; use ${chunkSizeBytesMin} to ${chunkSizeBytesMax}`,
    );
  }
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new ArtifactError('BadArgument', `threads is ${threads}; use 1 or more`);
  }
}
