import type { KeyValueFormat } from '@entrofleet/native';
import type { ModelConfig } from './model.config.ts';
import { planTensors, type TensorPlace } from './tensor.names.ts';

const ELEMENT_BYTES = { f32: 4, f16: 2, int8: 1 } as const satisfies Record<KeyValueFormat, number>;

/**
 * Bytes of the KV cache of one session: keys and values of every layer, values padded to 16
 * elements, and with int8 a float32 scale for each of both. Sessions have room for up to 15 tokens
 * more. Formats are those of sessions; `f16` is what a model of quantized weights uses by default.
 */
export function kvCacheBytes(
  config: ModelConfig,
  { contextLength = config.contextLength, format = 'f16' }: KeyValueShape = {},
): number {
  const elements = config.headSize + Math.ceil(config.headSize / 16) * 16;
  const headBytes = elements * ELEMENT_BYTES[format] + (format === 'int8' ? 8 : 0);
  return config.layers * config.keyValueHeads * headBytes * contextLength;
}

export interface KeyValueShape {
  /** Default: the model's. */
  readonly contextLength?: number;
  readonly format?: KeyValueFormat;
}

/** How matrices are held in memory; vectors are always float32. */
export type ResidentFormat = 'f32' | 'u8' | 'u4';

/**
 * Bytes of the weights in memory when every matrix is held in `format`, with one float32 step per
 * row where it is quantized.
 */
export function weightBytes(config: ModelConfig, format: ResidentFormat): number {
  const plan = planTensors(config);
  const shared = plan.head === undefined ? [plan.embedding] : [plan.embedding, plan.head];
  const layers = plan.layers.flatMap((layer) => Object.values(layer));
  return [...shared, plan.finalNorm, ...layers].reduce(
    (sum, place) => sum + placeBytes(place, format),
    0,
  );
}

function placeBytes(place: TensorPlace, format: ResidentFormat): number {
  const weights = place.rowCount * place.columns;
  if (format === 'f32' || place.rows === 1) return weights * 4;
  return place.rowCount * 4 + (format === 'u8' ? weights : Math.ceil(weights / 2));
}
