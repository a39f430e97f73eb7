import { stat } from 'node:fs/promises';
import { openArtifact, openCheckpoint } from '@entrofleet/artifact';
import {
  type LanguageModel,
  loadModel,
  type ResidencyForm,
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

export interface LanguageModelOptions<Prepared> {
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly rotaryPrecision?: RotaryPrecision;
  readonly form?: ResidencyForm;
  /** Bytes for this process, what it takes already among them. */
  readonly memory?: number | undefined;
  /** Is told in a line how a model is held within `memory`. */
  readonly complain?: (message: string) => void;
  /** Runs while the model loads. */
  readonly prepare?: (opened: OpenedModel) => Promise<Prepared>;
}

const MIB = 1024 * 1024;
/** What JavaScript may still come to take while a model runs: its tokenizer and texts. */
const HEAP_BYTES = 48 * MIB;

/** Loads the model, hands it to `use`, and lets go of it whatever happens. */
export async function withLanguageModel<T, Prepared = undefined>(
  path: string,
  options: LanguageModelOptions<Prepared>,
  use: (model: LanguageModel, opened: OpenedModel, prepared: Prepared) => Promise<T>,
): Promise<T> {
  const opened = await openModel(path, options.threads);
  try {
    const { memory, prepare, complain, ...loading } = options;
    const memoryBudgetBytes = memory === undefined ? undefined : modelShare(memory);
    const prepared = prepare?.(opened);
    // Whoever fails first, the other's failure is not left unhandled.
    prepared?.catch(() => undefined);
    const model = await loadModel(opened, { ...loading, memoryBudgetBytes });
    try {
      if (memory !== undefined && model.residency !== null) complain?.(model.residency.explanation);
      // Where nothing is to be prepared, undefined is what was promised.
      return await use(model, opened, (await prepared) as Prepared);
    } finally {
      model.close();
    }
  } finally {
    await opened.close();
  }
}

/**
 * What of the process's memory is left for a model.
 * @throws CliError `BadInput` when its own share takes all of it.
 */
function modelShare(memoryBytes: number): number {
  const ownBytes = process.memoryUsage.rss() + HEAP_BYTES;
  if (memoryBytes > ownBytes) return memoryBytes - ownBytes;
  const [whole, own] = [memoryBytes, ownBytes].map((bytes) => `${Math.ceil(bytes / MIB)} MiB`);
  throw new CliError(
    'BadInput',
    `--memory ${whole} holds no model: the process's own share is ${own}; give it more than that`,
  );
}
