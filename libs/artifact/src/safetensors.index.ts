import { isJsonObject, JsonRejected, parseBoundedJson } from './bounded.json.ts';
import { CheckpointError } from './checkpoint.error.ts';
import { CHECKPOINT_LIMITS } from './limits.ts';

/**
 * Parses `model.safetensors.index.json`.
 * @returns shard file name by tensor name; every shard is a plain file name.
 * @throws CheckpointError `BadIndex` or `TooLarge`.
 */
export function parseSafetensorsIndex(json: Uint8Array, file: string): Map<string, string> {
  const weightMap = parseWeightMap(json, file);
  const shards = new Set<string>();
  const map = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || !/^[^/\\\0]{1,255}$/.test(shard) || /^\.\.?$/.test(shard)) {
      throw new CheckpointError(
        'BadIndex',
        `${file} places tensor "${tensor.slice(0, 200)}" in ${String(JSON.stringify(shard)).slice(0, 80)}, ` +
          'which is no file name in the same folder; correct the index',
      );
    }
    shards.add(shard);
    map.set(tensor, shard);
  }
  if (shards.size > CHECKPOINT_LIMITS.shards || map.size > CHECKPOINT_LIMITS.tensors) {
    throw new CheckpointError(
      'TooLarge',
      `${file} names ${map.size} tensors in ${shards.size} files; at most ` +
        `${CHECKPOINT_LIMITS.tensors} in ${CHECKPOINT_LIMITS.shards} are read`,
    );
  }
  return map;
}

function parseWeightMap(json: Uint8Array, file: string): Record<string, unknown> {
  try {
    const index = parseBoundedJson(json, {
      depth: CHECKPOINT_LIMITS.configDepth,
      values: CHECKPOINT_LIMITS.jsonValues,
    });
    if (isJsonObject(index) && isJsonObject(index.weight_map)) return index.weight_map;
    throw new JsonRejected('has no object "weight_map"');
  } catch (cause) {
    if (!(cause instanceof JsonRejected)) throw cause;
    throw new CheckpointError('BadIndex', `${file} ${cause.message}; download it again`, { cause });
  }
}
