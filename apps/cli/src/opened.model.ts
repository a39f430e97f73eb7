import { stat } from 'node:fs/promises';
import { openArtifact, openCheckpoint } from '@entrofleet/artifact';
import {
  type LanguageModel,
  loadModel,
  type RotaryPrecision,
  type WeightSource,
} from '@entrofleet/engine';
import { CliError, codeOf } from './cli.error.ts';

/** An artifact or a Hugging Face folder, as the engine and the tokenizer need it. */
export interface OpenedModel extends WeightSource {
  readonly path: string;
  readonly kind: 'artifact' | 'folder';
  readonly fileNames: readonly string[];
  readFile(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Opens an artifact file, or a folder with or without tokenizer.json.
 * @throws CliError, ArtifactError, CheckpointError.
 */
export async function openModel(path: string, threads: number): Promise<OpenedModel> {
  const found = await stat(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new CliError('BadInput', `${path} does not exist; name an artifact or a model folder`);
  });
  if (found.isDirectory()) {
    const checkpoint = await openCheckpoint(path, { tokenizer: 'optional', threads });
    return {
      path,
      kind: 'folder',
      config: checkpoint.config,
      tensorNames: checkpoint.tensorNames,
      fileNames: checkpoint.files.map(({ name }) => name),
      readResident: (name) => checkpoint.readResident(name),
      readFile: (name) => checkpoint.readFile(name),
      close: () => checkpoint.close(),
    };
  }
  const reader = await openArtifact(path);
  return {
    path,
    kind: 'artifact',
    config: reader.config,
    tensorNames: reader.tensorNames,
    fileNames: reader.fileNames,
    readResident: (name, { signal } = {}) => reader.readResident(name, { threads, signal }),
    coded: reader,
    readFile: (name) => reader.readFile(name),
    close: () => reader.close(),
  };
}

/** Loads the model, hands it to `use`, and lets go of it whatever happens. */
export async function withLanguageModel<T>(
  path: string,
  options: { threads: number; signal: AbortSignal; rotaryPrecision?: RotaryPrecision },
  use: (model: LanguageModel, opened: OpenedModel) => Promise<T>,
): Promise<T> {
  const opened = await openModel(path, options.threads);
  try {
    const model = await loadModel(opened, options);
    try {
      return await use(model, opened);
    } finally {
      model.close();
    }
  } finally {
    await opened.close();
  }
}
