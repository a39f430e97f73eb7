import type { TensorGrid, TensorRecipe } from '@entrofleet/codec';
import { ArtifactError } from './artifact.error.ts';
import type { RecipeEntry } from './artifact.header.ts';
import type { TensorInfo } from './checkpoint.reader.ts';
import { isMatrix } from './encode.plan.ts';
import { ProgressMeter } from './encode.progress.ts';
import { encodeTotals } from './encode.totals.ts';
import type { EncodedArtifact, EncodeOptions } from './encode.types.ts';
import { encodeFile } from './file.encoder.ts';
import { parseHeader } from './header.parser.ts';
import { type FileJson, writeHeader } from './header.writer.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';
import { searchStepFactor } from './rate.search.ts';
import { type EncodedTensor, encodeTensor } from './tensor.encoder.ts';
import { tensorsToEncode } from './tied.head.ts';

/**
 * Encodes a checkpoint into an artifact file (FORMAT.md). The same source and recipe give the same
 * bytes on every machine and for every number of threads.
 *
 * Tensors pass through one at a time, so the memory in use is about, for the largest tensor of n
 * weights in s source bytes each: n * s (source) + n (symbols, half of it for 4 bits) + 2 * 1.5 * n
 * (coded, and its copy with the row steps in front), plus the header.
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
  checkOptions(options);
  const { path, checkpoint, recipe, signal } = options;
  signal?.throwIfAborted();
  const tensors = await tensorsToEncode(checkpoint);
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const report = options.onProgress;
  const meter = new ProgressMeter({ recipe: recipe.kind, totalBytes, report });
  const grid = await chooseGrid(options, { tensors, meter });
  await removeAbandoned(path);
  const payload = await PartialFile.create(path);
  try {
    const content = await encodePayload(options, { tensors, grid, meter, payload });
    return await assemble(options, { ...content, meter, payload });
  } finally {
    await payload.discard();
  }
}

function checkOptions({ chunkSizeBytes, threads }: EncodeOptions): void {
  const { chunkSizeBytesMin, chunkSizeBytesMax } = ARTIFACT_LIMITS;
  const size = chunkSizeBytes ?? ARTIFACT_LIMITS.chunkSizeBytesDefault;
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

async function chooseGrid(
  { recipe, checkpoint, threads, signal }: EncodeOptions,
  { tensors, meter }: { tensors: readonly TensorInfo[]; meter: ProgressMeter },
): Promise<TensorGrid> {
  if (recipe.kind === 'affine') return { kind: 'affine', bits: recipe.bits };
  const matrices = tensors.filter(isMatrix);
  if (matrices.length === 0) return { kind: 'rows', stepFactor: 1 };
  const stepFactor = await searchStepFactor({
    checkpoint,
    matrices,
    targetBitsPerWeight: recipe.targetBitsPerWeight,
    threads,
    signal,
    onProgress: (fraction, tensor) => meter.advance('measure', fraction, tensor),
  });
  return { kind: 'rows', stepFactor };
}

interface PayloadWork {
  readonly tensors: readonly TensorInfo[];
  readonly grid: TensorGrid;
  readonly meter: ProgressMeter;
  readonly payload: PartialFile;
}

async function encodePayload(
  { checkpoint, threads, signal, ...options }: EncodeOptions,
  { tensors, grid, meter, payload }: PayloadWork,
): Promise<{ files: FileJson[]; encoded: EncodedTensor[] }> {
  const chunkSizeBytes = options.chunkSizeBytes ?? ARTIFACT_LIMITS.chunkSizeBytesDefault;
  const files: FileJson[] = [];
  for (const { name } of checkpoint.files) {
    signal?.throwIfAborted();
    files.push(await encodeFile({ checkpoint, name, chunkSizeBytes }, payload));
  }
  const encoded: EncodedTensor[] = [];
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const memory = new Uint8Array(Math.max(0, ...matrixSizes(tensors)));
  const encoding = { checkpoint, grid, threads, chunkSizeBytes, payload, memory };
  let doneBytes = 0;
  for (const tensor of tensors) {
    signal?.throwIfAborted();
    encoded.push(await encodeTensor(tensor, encoding));
    doneBytes += tensor.sizeBytes;
    meter.advance('encode', doneBytes / totalBytes, tensor.name);
  }
  return { files, encoded };
}

function matrixSizes(tensors: readonly TensorInfo[]): number[] {
  return tensors.filter(isMatrix).map((tensor) => tensor.sizeBytes);
}

async function assemble(
  { checkpoint, recipe, path, signal, ...options }: EncodeOptions,
  content: {
    files: readonly FileJson[];
    encoded: readonly EncodedTensor[];
    meter: ProgressMeter;
    payload: PartialFile;
  },
): Promise<EncodedArtifact> {
  const { files, encoded, meter, payload } = content;
  const header = writeHeader({
    chunkSizeBytes: options.chunkSizeBytes ?? ARTIFACT_LIMITS.chunkSizeBytesDefault,
    config: checkpoint.config,
    recipe: recipeEntry(recipe),
    files,
    tensors: encoded.map((tensor) => tensor.json),
  });
  // A header that its own reader refuses must not be published.
  const { ref } = parseHeader(header);
  const artifact = await PartialFile.create(path);
  try {
    await artifact.append(header);
    await artifact.appendFrom(payload, {
      signal,
      onBlock: (doneBytes) => meter.advance('write', doneBytes / payload.sizeBytes, null),
    });
    await artifact.publish();
  } finally {
    await artifact.discard();
  }
  return { ref, tensors: encoded.map(({ stats }) => stats), totals: encodeTotals(encoded) };
}

function recipeEntry(recipe: TensorRecipe): RecipeEntry {
  if (recipe.kind === 'affine') return { kind: 'affine', bits: recipe.bits };
  return { kind: 'rate', targetBitsPerWeight: recipe.targetBitsPerWeight };
}
