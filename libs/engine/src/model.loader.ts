import { type ModelTensors, native, type ResidentTensor } from '@entrofleet/native';
import { EngineError, fromNative, throwIfAborted } from './engine.error.ts';
import { LanguageModel } from './language.model.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { type ModelConfig, parseModelConfig, toGeometry } from './model.config.ts';
import type { RotaryPrecision } from './rotary.frequencies.ts';
import { isSameTensor } from './same.tensor.ts';
import { type LayerRole, planTensors, type TensorPlace } from './tensor.names.ts';
import { sliceRows } from './tensor.slice.ts';
import type { WeightSource } from './weight.source.ts';

export interface LoadOptions {
  readonly threads: number;
  /** Called after each tensor that has been read. */
  readonly onProgress?: (progress: { tensorsRead: number; tensorsTotal: number }) => void;
  readonly signal?: AbortSignal;
  /** `exact` unless told; see {@link RotaryPrecision}. */
  readonly rotaryPrecision?: RotaryPrecision;
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
  const tensors = await readTensors(source, config, options);
  throwIfAborted(options.signal);
  try {
    const geometry = {
      ...toGeometry(config, options.rotaryPrecision),
      tiedEmbeddings: tensors.head === undefined,
    };
    const model = native.createModel(geometry, tensors, { threads });
    return new LanguageModel(model, { config, threads });
  } catch (error) {
    throw fromNative(error);
  }
}

async function readTensors(
  source: WeightSource,
  config: ModelConfig,
  options: LoadOptions,
): Promise<ModelTensors> {
  const plan = planTensors(config, source.tensorNames);
  const headPlace = plan.head ?? plan.spareHead;
  const places = [plan.embedding, plan.finalNorm, ...(headPlace === undefined ? [] : [headPlace])];
  const reader = new PlacedTensors(source, options, [
    ...places,
    ...plan.layers.flatMap((layer) => Object.values(layer)),
  ]);
  const embedding = await reader.read(plan.embedding);
  const layers: ModelTensors['layers'][number][] = [];
  for (const layer of plan.layers) layers.push(await readLayer(reader, layer));
  const finalNorm = await reader.read(plan.finalNorm);
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

/** Reads each checkpoint tensor once, checks its shape, and gives the rows of each place. */
class PlacedTensors {
  readonly #source: WeightSource;
  readonly #options: LoadOptions;
  readonly #remainingUses = new Map<string, number>();
  readonly #shared = new Map<string, ResidentTensor>();
  readonly #total: number;
  #tensorsRead = 0;

  constructor(source: WeightSource, options: LoadOptions, places: readonly TensorPlace[]) {
    this.#source = source;
    this.#options = options;
    for (const { name } of places) {
      this.#remainingUses.set(name, (this.#remainingUses.get(name) ?? 0) + 1);
    }
    this.#total = this.#remainingUses.size;
    const present = new Set(source.tensorNames);
    const missing = places.find(({ name }) => !present.has(name));
    if (missing === undefined) return;
    throw new EngineError(
      'MissingTensor',
      `the model has no tensor ${missing.name} (${missing.rows} x ${missing.columns}), ` +
        'which its config.json asks for',
    );
  }

  async read(place: TensorPlace): Promise<ResidentTensor> {
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
    this.#tensorsRead++;
    this.#options.onProgress?.({ tensorsRead: this.#tensorsRead, tensorsTotal: this.#total });
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
