import type { ResidentTensor } from '@entrofleet/native';

/** Where a model's weights come from: a checkpoint folder or an artifact. */
export interface WeightSource {
  /** Parsed config.json. */
  readonly config: unknown;
  readonly tensorNames: readonly string[];
  readResident(name: string): Promise<ResidentTensor>;
}
