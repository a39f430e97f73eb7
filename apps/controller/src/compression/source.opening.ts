import { type Checkpoint, openCheckpoint } from '@entrofleet/artifact';
import {
  createTokenizer,
  type ModelConfig,
  parseModelConfig,
  planTensors,
} from '@entrofleet/engine';
import { SourceError } from './source.error.ts';

export interface OpenSource {
  readonly checkpoint: Checkpoint;
  readonly config: ModelConfig;
}

/**
 * Opens a checkpoint and checks everything but the weights' values: config, geometry, the tensors
 * that this geometry needs with their shapes, and the tokenizer. The caller closes the checkpoint.
 * @throws CheckpointError, EngineError, SourceError
 */
export async function openSource(path: string, options: { threads: number }): Promise<OpenSource> {
  const checkpoint = await openCheckpoint(path, options);
  try {
    const config = parseModelConfig(checkpoint.config);
    assertTensors(checkpoint, config);
    await assertTokenizer(checkpoint, config);
    return { checkpoint, config };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

function assertTensors(checkpoint: Checkpoint, config: ModelConfig): void {
  const plan = planTensors(config, checkpoint.tensorNames);
  const places = [plan.embedding, plan.finalNorm, ...(plan.head === undefined ? [] : [plan.head])];
  const held = new Map(checkpoint.tensors.map((tensor) => [tensor.name, tensor.shape]));
  for (const place of [...places, ...plan.layers.flatMap((layer) => Object.values(layer))]) {
    const shape = held.get(place.name);
    const wanted = place.rows === 1 ? [place.columns] : [place.rows, place.columns];
    if (shape === undefined) {
      throw sourceError(
        'MissingTensor',
        `${checkpoint.path} has no tensor "${place.name}", which its config.json asks for; ` +
          'export the checkpoint again',
      );
    }
    if (shape.join() !== wanted.join()) {
      throw sourceError(
        'BadShape',
        `tensor "${place.name}" in ${checkpoint.path} is ${shape.join(' x ')}, but config.json ` +
          `asks for ${wanted.join(' x ')}; config and weights are of different models`,
      );
    }
  }
}

async function assertTokenizer(checkpoint: Checkpoint, config: ModelConfig): Promise<void> {
  const hasConfig = checkpoint.files.some((file) => file.name === 'tokenizer_config.json');
  const tokenizer = createTokenizer({
    tokenizerJson: await readJson(checkpoint, 'tokenizer.json'),
    tokenizerConfig: hasConfig ? await readJson(checkpoint, 'tokenizer_config.json') : undefined,
  });
  // Tokens added later may lie past the embedding: models exist whose padding token does.
  if (tokenizer.vocabularySize <= config.vocabularySize) return;
  throw sourceError(
    'TokenizerMismatch',
    `tokenizer.json in ${checkpoint.path} has ids up to ${tokenizer.vocabularySize - 1}, but ` +
      `config.json a vocab_size of ${config.vocabularySize}; they are of different models`,
  );
}

async function readJson(checkpoint: Checkpoint, name: string): Promise<unknown> {
  const bytes = await checkpoint.readFile(name);
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw sourceError('BadTokenizer', `${name} in ${checkpoint.path} is no JSON; save it again`);
  }
}

function sourceError(reason: string, message: string): SourceError {
  return new SourceError({ reason, message, pointer: '/spec/source/path' });
}
