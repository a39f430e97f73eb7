import type { ResidentTensor } from '@entrofleet/native';

/** Where a model's weights come from: a checkpoint folder or an artifact. */
export interface WeightSource {
  /** Parsed config.json. */
  readonly config: unknown;
  readonly tensorNames: readonly string[];
  /** `signal` ends the work early; the promise then rejects. */
  readResident(
    name: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<ResidentTensor>;
}
