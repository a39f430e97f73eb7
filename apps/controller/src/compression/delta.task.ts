import { encodeDelta } from '@entrofleet/artifact';
import type { DeltaResult, DeltaTask } from './compressor.messages.ts';

/** @throws ArtifactError */
export async function deltaTask(
  task: DeltaTask,
  onProgress: (fraction: number) => void,
): Promise<DeltaResult> {
  const { basePath: base, targetPath: target, draftPath: path, threads } = task;
  const { ref, reuseSizeBytes } = await encodeDelta({ base, target, path, threads, onProgress });
  return { ref, reuseSizeBytes };
}
