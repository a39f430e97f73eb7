import { join } from 'node:path';
import { CheckpointError } from './checkpoint.error.ts';
import { CHECKPOINT_LIMITS } from './limits.ts';
import {
  parseSafetensorsHeader,
  SAFETENSORS_PREFIX_BYTES,
  type SafetensorsEntry,
  safetensorsHeaderLength,
} from './safetensors.header.ts';
import { parseSafetensorsIndex } from './safetensors.index.ts';
import { SourceFile } from './source.file.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** A tensor and the open file it lies in. */
export interface LocatedTensor {
  readonly entry: SafetensorsEntry;
  readonly file: SourceFile;
}

/**
 * Opens the weight files of a folder: `model.safetensors`, else the shards that
 * `model.safetensors.index.json` names.
 * @param opened takes every file that was opened, also when an error follows.
 * @returns tensors sorted by name, in UTF-16 code units.
 * @throws CheckpointError
 */
export async function locateTensors(
  folder: string,
  opened: SourceFile[],
): Promise<readonly LocatedTensor[]> {
  const single = await SourceFile.find(folder, SINGLE);
  if (single !== undefined) opened.push(single);
  const located =
    single === undefined ? await locateInShards(folder, opened) : await locateInFile(single);
  if (located.length === 0) {
    throw new CheckpointError(
      'EmptyModel',
      `the weights in ${folder} hold no tensor; export again`,
    );
  }
  return located.sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1));
}

async function locateInFile(file: SourceFile): Promise<LocatedTensor[]> {
  const prefixBytes = Math.min(file.sizeBytes, SAFETENSORS_PREFIX_BYTES);
  const prefix = await file.read({ offset: 0, sizeBytes: prefixBytes });
  const length = safetensorsHeaderLength(prefix, file);
  const json = await file.read({ offset: SAFETENSORS_PREFIX_BYTES, sizeBytes: length });
  return parseSafetensorsHeader(json, file).map((entry) => ({ entry, file }));
}

async function locateInShards(folder: string, opened: SourceFile[]): Promise<LocatedTensor[]> {
  const index = await SourceFile.require(folder, INDEX, {
    reason: 'WeightsMissing',
    message:
      `${folder} has neither ${SINGLE} nor ${INDEX}; save the model in safetensors format ` +
      '(transformers: save_pretrained with safe_serialization)',
  });
  opened.push(index);
  const shardOf = parseSafetensorsIndex(await index.readAll(CHECKPOINT_LIMITS.indexBytes), INDEX);
  const found = new Map<string, LocatedTensor>();
  for (const name of [...new Set(shardOf.values())].sort()) {
    const file = await SourceFile.require(folder, name, {
      reason: 'MissingShard',
      message: `${INDEX} names ${name}, which is not in ${folder}; download it`,
    });
    opened.push(file);
    for (const tensor of await locateInFile(file)) addTensor(found, tensor, shardOf);
  }
  for (const [name, shard] of shardOf) {
    if (found.has(name)) continue;
    throw new CheckpointError(
      'MissingTensor',
      `${INDEX} places tensor "${name}" in ${shard}, which lacks it; download ${join(folder, shard)} again`,
    );
  }
  return [...found.values()];
}

function addTensor(
  found: Map<string, LocatedTensor>,
  tensor: LocatedTensor,
  shardOf: ReadonlyMap<string, string>,
): void {
  const { name } = tensor.entry;
  const other = found.get(name);
  if (other !== undefined) {
    throw new CheckpointError(
      'DuplicateTensor',
      `tensor "${name}" is in both ${other.file.name} and ${tensor.file.name}; ` +
        'keep the one the index names and export the other file again',
    );
  }
  const shard = shardOf.get(name);
  if (shard !== tensor.file.name) {
    const said = shard === undefined ? 'does not name it' : `places it in ${shard}`;
    throw new CheckpointError(
      'BadIndex',
      `tensor "${name}" is in ${tensor.file.name}, but ${INDEX} ${said}; download the index again`,
    );
  }
  found.set(name, tensor);
}
