import type { ModelConfig } from './model.config.ts';
import { planTensors, type TensorPlace } from './tensor.names.ts';

/** Bytes of the KV cache of one session: keys and values, float32, of every layer. */
export function kvCacheBytes(config: ModelConfig, contextLength = config.contextLength): number {
  return 2 * config.layers * config.keyValueHeads * config.headSize * contextLength * 4;
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
