import { ArtifactError } from './artifact.error.ts';
import { CheckpointError } from './checkpoint.error.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import { parseHuffmanCode } from './code.text.ts';
import type { EncodeGroup } from './encode.groups.ts';
import { isMatrix } from './encode.plan.ts';
import type { EncodingPlan } from './encoding.plan.ts';
import { encodeFile } from './file.encoder.ts';
import type { FileJson } from './header.writer.ts';
import type { PartialFile } from './partial.file.ts';
import { gridsByName } from './quantization.plan.ts';
import { type EncodedTensor, encodeTensor } from './tensor.encoder.ts';

/** What the header and the report need to know of an encoded group; plain JSON. */
export interface GroupContent {
  readonly files: readonly FileJson[];
  readonly tensors: readonly EncodedTensor[];
}

export interface GroupWork {
  readonly checkpoint: Checkpoint;
  readonly plan: EncodingPlan;
  readonly threads: number;
  /** Where the statistics of a calibrated plan lie. */
  readonly calibrationFolder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** @param doneBytes of the group's tensors in the source. */
  readonly onProgress?: (doneBytes: number, tensor: string) => void;
}

/**
 * Appends a group's files and tensors to `payload`. Tensors pass through one at a time.
 * @throws CheckpointError, ArtifactError; the signal's reason.
 */
export async function encodeGroup(
  group: EncodeGroup,
  work: GroupWork,
  payload: PartialFile,
): Promise<GroupContent> {
  const { checkpoint, plan, threads, signal, calibrationFolder } = work;
  const { chunkSizeBytes } = plan;
  const files: FileJson[] = [];
  for (const name of group.files) {
    signal?.throwIfAborted();
    files.push(await encodeFile({ checkpoint, name, chunkSizeBytes }, payload));
  }
  const infos = new Map(checkpoint.tensors.map((tensor) => [tensor.name, tensor]));
  const grids = gridsByName(plan.quantization);
  const { layout } = plan;
  const sharedCode = plan.sharedCode === null ? null : requireCode(plan.sharedCode);
  const coding = { layout, sharedCode, chunkSizeBytes, threads };
  const matrices = group.tensors.flatMap((name) => infos.get(name) ?? []).filter(isMatrix);
  const memory = new Uint8Array(Math.max(0, ...matrices.map((matrix) => matrix.sizeBytes)));
  const encoding = { checkpoint, grids, payload, memory, calibrationFolder, ...coding };
  const tensors: EncodedTensor[] = [];
  let doneBytes = 0;
  for (const name of group.tensors) {
    signal?.throwIfAborted();
    const tensor = infos.get(name);
    if (tensor === undefined) throw unplanned(checkpoint, name);
    tensors.push(await encodeTensor(tensor, encoding));
    doneBytes += tensor.sizeBytes;
    work.onProgress?.(doneBytes, name);
  }
  return { files, tensors };
}

function requireCode(text: string): Uint8Array {
  const lengths = parseHuffmanCode(text);
  if (lengths !== undefined) return lengths;
  throw new ArtifactError('BadArgument', "the plan's shared code spells no code lengths");
}

function unplanned(checkpoint: Checkpoint, name: string): CheckpointError {
  const message = `the plan and ${checkpoint.path} disagree about tensor "${name}"`;
  return new CheckpointError('SourceChanged', `${message}; do not change a checkpoint in use`);
}
