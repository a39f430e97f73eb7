import { join } from 'node:path';
import {
  type ChunkSource,
  encodeArtifact,
  openArtifact,
  openCheckpoint,
  openChunks,
} from '@entrofleet/artifact';
import { createProbe, loadModel } from '@entrofleet/engine';
import type { Target } from '@entrofleet/protocol';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { type TinyCheckpointOptions, writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';

/** What a controller holds of a variant: the target it asks for, and the chunks it hands out. */
export interface EncodedModel {
  readonly target: Target;
  readonly source: ChunkSource;
}

export interface EncodedModelOptions extends TinyCheckpointOptions {
  /** Its name; the variant is `u8`. */
  readonly model: string;
  readonly chunkSizeBytes: number;
}

/** A random model, encoded, with the probe its encoder would have made. */
export async function encodeTinyModel(options: EncodedModelOptions): Promise<EncodedModel> {
  const { model, chunkSizeBytes, ...geometry } = options;
  const folder = await temporaryFolder(model);
  await writeTinyCheckpoint(join(folder, 'checkpoint'), {
    ...{ hiddenSize: 128, layers: 4 },
    ...geometry,
  });
  const path = join(folder, 'artifact.efa');
  const checkpoint = await openCheckpoint(join(folder, 'checkpoint'));
  const recipe = { kind: 'affine', bits: 8 } as const;
  const { ref } = await encodeArtifact({ checkpoint, recipe, path, threads: 2, chunkSizeBytes });
  await checkpoint.close();
  const reader = await openArtifact(path);
  const language = await loadModel(
    {
      config: reader.config,
      tensorNames: reader.tensorNames,
      readResident: (name) => reader.readResident(name, { threads: 2 }),
    },
    { threads: 2 },
  );
  const probe = await createProbe(language, undefined, { generateTokens: 8 });
  const target: Target = {
    model,
    variant: 'u8',
    artifact: { ...ref, headerChunks: [...ref.headerChunks] },
    memoryBytes: reader.memoryBytes,
    contextLength: language.config.contextLength,
    kvCacheBytes: language.kvCacheBytes(),
    probe,
    samplePrompt: 'once upon a time',
  };
  language.close();
  await reader.close();
  return { target, source: await openChunks(path, ref) };
}
