import { type FloatType, native, type PlainTensor } from '@entrofleet/native';
import { isJsonObject, JsonRejected, parseBoundedJson } from './bounded.json.ts';
import { canonicalJson } from './canonical.json.ts';
import { CheckpointError } from './checkpoint.error.ts';
import { type LocatedTensor, locateTensors } from './checkpoint.weights.ts';
import { ARTIFACT_LIMITS, CHECKPOINT_LIMITS } from './limits.ts';
import { requireFolder, SourceFile } from './source.file.ts';
import { matrixShape } from './tensor.shape.ts';

/** Files that travel with the weights, where the checkpoint has them. */
const CARRIED_FILES = [
  'chat_template.jinja',
  'generation_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
] as const;

export interface TensorInfo {
  readonly name: string;
  readonly type: FloatType;
  /** Outermost first, each at least 1; empty for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

export interface CheckpointOptions {
  /** `optional` accepts a folder without tokenizer.json. Default: `required`. */
  readonly tokenizer?: 'required' | 'optional';
  /** Threads for conversion to float32. Default: 1. */
  readonly threads?: number;
}

/**
 * An open Hugging Face folder. Weights are read by tensor, at the moment they are asked for; the
 * object itself holds names and offsets only.
 */
export class Checkpoint {
  readonly path: string;
  /** Content of config.json, an object. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
  /** Sorted by name, in UTF-16 code units. */
  readonly tensors: readonly TensorInfo[];
  readonly #located: ReadonlyMap<string, LocatedTensor>;
  readonly #carried: ReadonlyMap<string, SourceFile>;
  readonly #opened: readonly SourceFile[];
  readonly #threads: number;

  /** Use {@link openCheckpoint}. */
  constructor(parts: {
    path: string;
    config: Readonly<Record<string, unknown>>;
    located: readonly LocatedTensor[];
    carried: readonly SourceFile[];
    opened: readonly SourceFile[];
    threads: number;
  }) {
    this.path = parts.path;
    this.config = parts.config;
    this.files = parts.carried.map(({ name, sizeBytes }) => ({ name, sizeBytes }));
    this.tensors = parts.located.map(({ entry: { name, type, shape, sizeBytes } }) => ({
      name,
      type,
      shape,
      sizeBytes,
    }));
    this.#located = new Map(parts.located.map((tensor) => [tensor.entry.name, tensor]));
    this.#carried = new Map(parts.carried.map((file) => [file.name, file]));
    this.#opened = parts.opened;
    this.#threads = parts.threads;
  }

  get tensorNames(): readonly string[] {
    return this.tensors.map((tensor) => tensor.name);
  }

  /** One entry a file; equal stamps mean that the files were not written to in between. */
  get stamp(): readonly string[] {
    return this.#opened.map((file) => file.stamp);
  }

  /** @throws CheckpointError `SourceChanged` when a file was written to since it was opened. */
  async requireUnchanged(): Promise<void> {
    for (const file of this.#opened) await file.requireUnchanged();
  }

  /**
   * @param memory takes the bytes where it is large enough, to be used again by the caller.
   * @returns the tensor's little-endian bytes.
   * @throws CheckpointError `MissingTensor`, `SourceChanged`, `ReadFailed`.
   */
  async readRaw(name: string, memory?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const { entry, file } = this.#locate(name);
    return file.read(entry, memory);
  }

  /**
   * @param range in bytes of the tensor, within its size.
   * @throws CheckpointError as {@link readRaw}.
   */
  async readRange(name: string, range: { offset: number; sizeBytes: number }): Promise<Uint8Array> {
    const { entry, file } = this.#locate(name);
    if (range.offset < 0 || range.offset + range.sizeBytes > entry.sizeBytes) {
      throw new RangeError(`tensor "${name}" has ${entry.sizeBytes} bytes`);
    }
    return file.read({ offset: entry.offset + range.offset, sizeBytes: range.sizeBytes });
  }

  /**
   * @returns the tensor in float32, exactly.
   * @throws CheckpointError `NonFiniteWeight` naming the tensor and the index, else as readRaw.
   */
  async readResident(name: string): Promise<PlainTensor> {
    const { entry } = this.#locate(name);
    const weights = await this.readRaw(name);
    const data = await native
      .toFloat32({ weights, type: entry.type, threads: this.#threads })
      .catch((cause: unknown) => {
        throw nativeFailure(name, cause);
      });
    return { format: 'f32', ...matrixShape(entry.shape), data };
  }

  /** @throws CheckpointError `ReadFailed` when the checkpoint carries no such file. */
  async readFile(name: string): Promise<Uint8Array> {
    const file = this.#carried.get(name);
    if (file === undefined) {
      throw new CheckpointError('ReadFailed', `${this.path} has no ${name} to carry`);
    }
    return file.readAll(ARTIFACT_LIMITS.fileSizeBytes);
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((file) => file.close()));
  }

  #locate(name: string): LocatedTensor {
    const located = this.#located.get(name);
    if (located !== undefined) return located;
    throw new CheckpointError('MissingTensor', `${this.path} has no tensor "${name}"`);
  }
}

/**
 * Opens a Hugging Face folder: config.json, model.safetensors or its shards, tokenizer.json.
 * Everything but the weights' values is checked here.
 * @throws CheckpointError with a message that names the file or tensor and the fix.
 */
export async function openCheckpoint(
  folder: string,
  options: CheckpointOptions = {},
): Promise<Checkpoint> {
  await requireFolder(folder);
  const opened: SourceFile[] = [];
  try {
    const config = await readConfig(folder, opened);
    const located = await locateTensors(folder, opened);
    const carried: SourceFile[] = [];
    for (const name of CARRIED_FILES) {
      const file = await SourceFile.find(folder, name);
      if (file === undefined) continue;
      opened.push(file);
      carried.push(file);
    }
    if (options.tokenizer !== 'optional' && !carried.some((f) => f.name === 'tokenizer.json')) {
      throw new CheckpointError(
        'TokenizerMissing',
        `${folder} has no tokenizer.json; save the fast tokenizer there ` +
          '(transformers: AutoTokenizer.from_pretrained(...).save_pretrained(folder))',
      );
    }
    const threads = options.threads ?? 1;
    return new Checkpoint({ path: folder, config, located, carried, opened, threads });
  } catch (error) {
    await Promise.all(opened.map((file) => file.close()));
    throw error;
  }
}

/** Turns a rejection of the native codec into a CheckpointError that names the tensor. */
export function nativeFailure(tensor: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'NonFiniteWeight') {
    return cause;
  }
  return new CheckpointError(
    'NonFiniteWeight',
    `tensor "${tensor}" holds a weight that is no finite number (${cause.message}); ` +
      'repair or export the checkpoint again',
    { cause },
  );
}

async function readConfig(
  folder: string,
  opened: SourceFile[],
): Promise<Readonly<Record<string, unknown>>> {
  const file = await SourceFile.require(folder, 'config.json', {
    reason: 'ConfigMissing',
    message: `${folder} has no config.json; a Hugging Face folder describes its model there`,
  });
  opened.push(file);
  const bytes = await file.readAll(CHECKPOINT_LIMITS.configBytes);
  try {
    const config = parseBoundedJson(bytes, {
      depth: CHECKPOINT_LIMITS.configDepth,
      values: CHECKPOINT_LIMITS.jsonValues,
    });
    if (!isJsonObject(config)) throw new JsonRejected('is no JSON object');
    // A number beyond double precision or half a surrogate pair could not be carried on.
    canonicalJson(config);
    return config;
  } catch (cause) {
    if (cause instanceof TypeError) {
      const message = `config.json in ${folder} holds a value out of range (${cause.message})`;
      throw new CheckpointError('BadConfig', `${message}; correct it`, { cause });
    }
    if (!(cause instanceof JsonRejected)) throw cause;
    throw new CheckpointError(
      'BadConfig',
      `config.json in ${folder} ${cause.message}; correct it`,
      {
        cause,
      },
    );
  }
}
