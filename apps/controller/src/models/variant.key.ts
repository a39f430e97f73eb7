import { nameSchema, variantNameSchema } from '@entrofleet/protocol';

/** The queue of variants that need compression. */
export const COMPRESSION_QUEUE = 'compression';

export interface VariantKey {
  readonly model: string;
  readonly variant: string;
}

export function variantKey(key: VariantKey): string {
  return `${key.model}/${key.variant}`;
}

/** @returns `undefined` for a text that is no key of ours. */
export function parseVariantKey(text: string): VariantKey | undefined {
  const [model, variant, ...rest] = text.split('/');
  const isKey = nameSchema.safeParse(model).success && variantNameSchema.safeParse(variant).success;
  if (!isKey || model === undefined || variant === undefined || rest.length > 0) return undefined;
  return { model, variant };
}
