import { badConfig, unsupportedConfig } from './config.error.ts';
import type { ModelType } from './model.defaults.ts';

export interface WindowFields {
  readonly num_hidden_layers: number;
  readonly sliding_window?: number | null | undefined;
  readonly use_sliding_window?: boolean | null | undefined;
  readonly max_window_layers?: number | null | undefined;
  readonly layer_types?: readonly string[] | null | undefined;
}

/**
 * How many of the latest positions each layer's attention sees, itself included; 0: all. As
 * transformers does it: Llama has no windows; Phi-3 has one in every layer, and so has Mistral
 * unless `layer_types` tells layers apart; Qwen has them only with `use_sliding_window`, where
 * `layer_types` says so, or without that from layer `max_window_layers` on.
 * @throws EngineError `BadConfig`, `UnsupportedArchitecture`.
 */
export function slidingWindows(fields: WindowFields, modelType: ModelType): number[] {
  const layers = Array.from({ length: fields.num_hidden_layers }, (_, layer) => layer);
  const window = fields.sliding_window ?? 0;
  if (modelType === 'llama' || window === 0) return layers.map(() => 0);
  if (modelType === 'phi3') return layers.map(() => window);
  const isMistral = modelType === 'mistral';
  if (!isMistral && fields.use_sliding_window !== true) return layers.map(() => 0);
  if (fields.layer_types != null) return typedWindows(fields.layer_types, { window, layers });
  const firstWindow = isMistral ? 0 : (fields.max_window_layers ?? 0);
  return layers.map((layer) => (layer >= firstWindow ? window : 0));
}

function typedWindows(
  types: readonly string[],
  { window, layers }: { window: number; layers: readonly number[] },
): number[] {
  if (types.length !== layers.length) {
    throw badConfig('layer_types does not have num_hidden_layers entries');
  }
  return types.map((type) => {
    if (type === 'full_attention') return 0;
    if (type === 'sliding_attention') return window;
    throw unsupportedConfig(
      `layer_types has "${type}"; full_attention and sliding_attention are supported`,
    );
  });
}
