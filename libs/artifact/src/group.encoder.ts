import { CheckpointError } from './checkpoint.error.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import type { EncodeGroup } from './encode.groups.ts';
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
  const encoding = { checkpoint, grids, threads, chunkSizeBytes, payload, calibrationFolder };
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

function unplanned(checkpoint: Checkpoint, name: string): CheckpointError {
  const message = `the plan and ${checkpoint.path} disagree about tensor "${name}"`;
  return new CheckpointError('SourceChanged', `${message}; do not change a checkpoint in use`);
}
