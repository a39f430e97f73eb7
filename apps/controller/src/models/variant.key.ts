import { nameSchema, variantNameSchema } from '@entrofleet/protocol';

/** The queue of variants that need compression, and of their tensor groups. */
export const COMPRESSION_QUEUE = 'compression';

const GROUP = /^(?:0|[1-9]\d{0,8})$/;

export interface VariantKey {
  readonly model: string;
  readonly variant: string;
}

export function variantKey(key: VariantKey): string {
  return `${key.model}/${key.variant}`;
}

/** The key of one tensor group of a variant's encoding plan. */
export function groupKey(key: VariantKey, group: number): string {
  return `${variantKey(key)}/${group}`;
}

/**
 * Reads a key of the compression queue; `group` is undefined in that of a whole variant.
 * @returns `undefined` for a text that is no key of ours.
 */
export function parseCompressionKey(
  text: string,
): { key: VariantKey; group: number | undefined } | undefined {
  const [model, variant, group, ...rest] = text.split('/');
  const isKey = nameSchema.safeParse(model).success && variantNameSchema.safeParse(variant).success;
  if (!isKey || model === undefined || variant === undefined || rest.length > 0) return undefined;
  if (group === undefined) return { key: { model, variant }, group };
  return GROUP.test(group) ? { key: { model, variant }, group: Number(group) } : undefined;
}
