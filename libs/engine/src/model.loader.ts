import {
  type KeyValueFormat,
  type ModelTensors,
  type NativeMatrix,
  native,
  type ResidentTensor,
} from '@entrofleet/native';
import { loadCodedMatrices, type Residency } from './coded.matrices.ts';
import { EngineError, fromNative, throwIfAborted } from './engine.error.ts';
import { LanguageModel } from './language.model.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { type ModelConfig, parseModelConfig, toGeometry } from './model.config.ts';
import type { ResidencyForm } from './residency.plan.ts';
import { defaultKeyValueBytes, placeMatrices, placesInOrder } from './residency.request.ts';
import type { RotaryPrecision } from './rotary.frequencies.ts';
import { isSameTensor } from './same.tensor.ts';
import { type LayerRole, planTensors, type TensorPlace, type TensorPlan } from './tensor.names.ts';
import { sliceRows } from './tensor.slice.ts';
import type { WeightSource } from './weight.source.ts';

export interface LoadOptions {
  readonly threads: number;
  /** Binds each thread to a processor while it computes. */
  readonly pinThreads?: boolean;
  /** Default: f16 where matrices are quantized, f32 where all are float. */
  readonly keyValueFormat?: KeyValueFormat;
  /** Called as tensors are read; those that are loaded together count by their bytes. */
  readonly onProgress?: (progress: { tensorsRead: number; tensorsTotal: number }) => void;
  readonly signal?: AbortSignal;
  /** `exact` unless told; see {@link RotaryPrecision}. */
  readonly rotaryPrecision?: RotaryPrecision;
  /** How matrices of a source that holds them coded are kept. Default: `auto`. */
  readonly form?: ResidencyForm;
  /** For weights, KV cache and scratch together. Default: no limit. */
  readonly memoryBudgetBytes?: number | undefined;
  /** What KV caches may take of the budget. Default: one of the model's context, at most 4096. */
  readonly keyValueBytes?: number | undefined;
}

/**
 * Reads all tensors of a model and hands them to the native engine, which keeps them.
 *
 * @throws EngineError `UnsupportedArchitecture`, `BadConfig`, `MissingTensor`, `BadShape` (naming
 * tensor and expected shape), `OutOfMemory`, `Cancelled`; errors of the source pass through.
 */
export async function loadModel(
  source: WeightSource,
  options: LoadOptions,
): Promise<LanguageModel> {
  const { threads } = options;
  if (!Number.isInteger(threads) || threads < 1 || threads > ENGINE_LIMITS.threads) {
    throw new EngineError('BadArgument', `threads must be from 1 to ${ENGINE_LIMITS.threads}`);
  }
  const config = parseModelConfig(source.config);
  const plan = planTensors(config, source.tensorNames);
  requirePresent(source, plan);
  const { tensors, residency, matrices } = await readTensors(source, { config, plan, options });
  // JavaScript's own hold on native matrices would last until they are collected.
  const release = () => {
    for (const matrix of matrices) native.releaseMatrix(matrix);
  };
  try {
    throwIfAborted(options.signal);
    const geometry = {
      ...toGeometry(config, options.rotaryPrecision),
      tiedEmbeddings: tensors.head === undefined,
    };
    const model = native.createModel(geometry, tensors, {
      threads,
      pinThreads: options.pinThreads ?? false,
    });
    const { keyValueFormat } = options;
    return new LanguageModel(model, { config, threads, keyValueFormat, residency, release });
  } catch (error) {
    release();
    throw fromNative(error);
  }
}

interface Loading {
  readonly config: ModelConfig;
  readonly plan: TensorPlan;
  readonly options: LoadOptions;
}

interface ReadTensors {
  readonly tensors: ModelTensors;
  readonly residency: Residency | null;
  /** Those of the tensors that native code holds. */
  readonly matrices: readonly NativeMatrix[];
}

/** Coded matrices are loaded in native threads while the other tensors are read here. */
async function readTensors(
  source: WeightSource,
  { config, plan, options }: Loading,
): Promise<ReadTensors> {
  const progress = new LoadProgress(plan, options);
  if (source.coded === undefined) {
    const reader = new PlacedTensors(source, { options, progress, places: placesInOrder(plan) });
    return { tensors: await readPlan(reader, plan), residency: null, matrices: [] };
  }
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  const placed = placeMatrices(plan, source.coded.codedMatrices);
  const coded = new Set(placed.flatMap(({ places }) => places));
  const others = placesInOrder(plan).filter((place) => !coded.has(place));
  const reader = new PlacedTensors(source, { options, progress, places: others });
  const loading = loadCodedMatrices(source.coded, {
    ...{ config, plan, threads: options.threads, signal, form: options.form ?? 'auto' },
    keyValueBytes: options.keyValueBytes ?? defaultKeyValueBytes(config),
    budgetBytes: options.memoryBudgetBytes ?? null,
    onProgress: ({ chunksDone, chunksTotal }) =>
      progress.share((placed.length * chunksDone) / Math.max(1, chunksTotal)),
  });
  try {
    const [{ tensors, residency }] = await Promise.all([loading, reader.readAhead(signal)]);
    reader.add(tensors);
    const matrices = [...tensors.values()].map(({ matrix }) => matrix);
    return { tensors: await readPlan(reader, plan), residency, matrices };
  } catch (error) {
    failed.abort(error);
    // Nothing of a load that has failed may go on behind the caller's back.
    await Promise.allSettled([loading]);
    throwIfAborted(options.signal);
    throw error instanceof Error && 'code' in error ? fromNative(error) : error;
  }
}

async function readPlan(reader: PlacedTensors, plan: TensorPlan): Promise<ModelTensors> {
  const embedding = await reader.read(plan.embedding);
  const layers: ModelTensors['layers'][number][] = [];
  for (const layer of plan.layers) layers.push(await readLayer(reader, layer));
  const finalNorm = await reader.read(plan.finalNorm);
  const headPlace = plan.head ?? plan.spareHead;
  const head = headPlace === undefined ? undefined : await reader.read(headPlace);
  const isTied = head === undefined || (plan.head === undefined && isSameTensor(head, embedding));
  return isTied ? { embedding, layers, finalNorm } : { embedding, layers, finalNorm, head };
}

const REQUIRED_ROLES = [
  'attentionNorm',
  'query',
  'key',
  'value',
  'output',
  'mlpNorm',
  'gate',
  'up',
  'down',
] as const satisfies readonly LayerRole[];

type Layer = ModelTensors['layers'][number];

async function readLayer(
  reader: PlacedTensors,
  places: Readonly<Partial<Record<LayerRole, TensorPlace>>>,
): Promise<Layer> {
  const layer: Partial<Record<LayerRole, ResidentTensor>> = {};
  for (const [role, place] of Object.entries(places) as [LayerRole, TensorPlace][]) {
    layer[role] = await reader.read(place);
  }
  if (!isComplete(layer)) throw new EngineError('MissingTensor', 'a layer has no place for a role');
  return layer;
}

function isComplete(layer: Partial<Record<LayerRole, ResidentTensor>>): layer is Layer {
  return REQUIRED_ROLES.every((role) => layer[role] !== undefined);
}

function requirePresent(source: WeightSource, plan: TensorPlan): void {
  const present = new Set(source.tensorNames);
  const missing = placesInOrder(plan).find(({ name }) => !present.has(name));
  if (missing === undefined) return;
  throw new EngineError(
    'MissingTensor',
    `the model has no tensor ${missing.name} (${missing.rows} x ${missing.columns}), ` +
      'which its config.json asks for',
  );
}

/** Tensors read so far, one by one and together. */
class LoadProgress {
  readonly #options: LoadOptions;
  readonly #tensorsTotal: number;
  #read = 0;
  #shared = 0;

  constructor(plan: TensorPlan, options: LoadOptions) {
    this.#options = options;
    this.#tensorsTotal = new Set(placesInOrder(plan).map(({ name }) => name)).size;
  }

  one(): void {
    this.#read++;
    this.#report();
  }

  /** Tensors that are done of those loaded together; a part of one counts in part. */
  share(tensors: number): void {
    this.#shared = Math.floor(tensors);
    this.#report();
  }

  #report(): void {
    const tensorsRead = this.#read + this.#shared;
    this.#options.onProgress?.({ tensorsRead, tensorsTotal: this.#tensorsTotal });
  }
}

/** Reads each checkpoint tensor once, checks its shape, and gives the rows of each place. */
class PlacedTensors {
  readonly #source: WeightSource;
  readonly #options: LoadOptions;
  readonly #progress: LoadProgress;
  readonly #remainingUses = new Map<string, number>();
  readonly #shared = new Map<string, ResidentTensor>();
  readonly #loaded = new Map<TensorPlace, ResidentTensor>();

  constructor(
    source: WeightSource,
    use: {
      readonly options: LoadOptions;
      readonly progress: LoadProgress;
      readonly places: readonly TensorPlace[];
    },
  ) {
    this.#source = source;
    this.#options = use.options;
    this.#progress = use.progress;
    for (const { name } of use.places) {
      this.#remainingUses.set(name, (this.#remainingUses.get(name) ?? 0) + 1);
    }
    this.#places = use.places;
  }
  readonly #places: readonly TensorPlace[];

  /** Reads every place that is not loaded otherwise. */
  async readAhead(signal: AbortSignal): Promise<void> {
    for (const place of this.#places) {
      signal.throwIfAborted();
      this.#loaded.set(place, await this.read(place));
    }
  }

  /** Places that were loaded otherwise. */
  add(tensors: ReadonlyMap<TensorPlace, ResidentTensor>): void {
    for (const [place, tensor] of tensors) this.#loaded.set(place, tensor);
  }

  async read(place: TensorPlace): Promise<ResidentTensor> {
    const loaded = this.#loaded.get(place);
    if (loaded !== undefined) return loaded;
    const tensor = this.#shared.get(place.name) ?? (await this.#readWhole(place));
    const remaining = (this.#remainingUses.get(place.name) ?? 1) - 1;
    this.#remainingUses.set(place.name, remaining);
    if (remaining > 0) this.#shared.set(place.name, tensor);
    else this.#shared.delete(place.name);
    const isPart = place.rowCount !== place.rows;
    if (!isPart) return tensor;
    if (tensor.format === 'native') {
      throw new EngineError(
        'BadShape',
        `rows of ${place.name} were asked for, which native code holds`,
      );
    }
    return sliceRows(tensor, place.firstRow, place.rowCount);
  }

  async #readWhole(place: TensorPlace): Promise<ResidentTensor> {
    throwIfAborted(this.#options.signal);
    const tensor = await this.#source.readResident(place.name, {
      signal: this.#options.signal,
    });
    requireShape(place, tensor);
    this.#progress.one();
    return tensor;
  }
}

/** A vector may come as one row or as one column. */
function requireShape(place: TensorPlace, tensor: ResidentTensor): void {
  const { rows, columns } = tensor;
  if (rows === place.rows && columns === place.columns) return;
  if (place.rows === 1 && columns === 1 && rows === place.columns) return;
  const expected = place.rows === 1 ? `${place.columns}` : `${place.rows} x ${place.columns}`;
  throw new EngineError(
    'BadShape',
    `tensor ${place.name} is ${rows} x ${columns}; config.json asks for ${expected}`,
  );
}
