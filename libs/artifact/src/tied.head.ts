import { CheckpointError } from './checkpoint.error.ts';
import type { Checkpoint, TensorInfo } from './checkpoint.reader.ts';

const HEAD = 'lm_head.weight';
/** A model saved without its head has names without `model.`. */
const EMBEDDINGS: readonly string[] = ['model.embed_tokens.weight', 'embed_tokens.weight'];
const BLOCK_BYTES = 4 * 1024 * 1024;

/**
 * The tensors to encode. Of a model with tied embeddings, a head that repeats the embedding is left
 * out: loaders use the embedding in its place.
 * @throws CheckpointError `TiedHeadDiffers` when the head does not equal the embedding.
 */
export async function tensorsToEncode(checkpoint: Checkpoint): Promise<readonly TensorInfo[]> {
  const { tensors, config } = checkpoint;
  const head = tensors.find((tensor) => tensor.name === HEAD);
  const embedding = tensors.find((tensor) => EMBEDDINGS.includes(tensor.name));
  if (config.tie_word_embeddings !== true || head === undefined || embedding === undefined) {
    return tensors;
  }
  if (!(await areEqual(checkpoint, { head, embedding }))) {
    throw new CheckpointError(
      'TiedHeadDiffers',
      `config.json in ${checkpoint.path} says tie_word_embeddings, but tensor "${HEAD}" differs ` +
        `from "${embedding.name}"; set tie_word_embeddings to false, or remove "${HEAD}"`,
    );
  }
  return tensors.filter((tensor) => tensor !== head);
}

async function areEqual(
  checkpoint: Checkpoint,
  { head, embedding }: { head: TensorInfo; embedding: TensorInfo },
): Promise<boolean> {
  if (head.type !== embedding.type || head.shape.join() !== embedding.shape.join()) return false;
  for (let offset = 0; offset < head.sizeBytes; offset += BLOCK_BYTES) {
    const range = { offset, sizeBytes: Math.min(BLOCK_BYTES, head.sizeBytes - offset) };
    const block = await checkpoint.readRange(head.name, range);
    const other = await checkpoint.readRange(embedding.name, range);
    if (Buffer.compare(block, other) !== 0) return false;
  }
  return true;
}
