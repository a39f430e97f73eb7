/** The list envelope of libs/protocol. */
export interface ListAnswer<T> {
  readonly items: readonly T[];
  readonly metadata: { readonly continue?: string; readonly resourceVersion?: string };
}

export function listAnswer<T>(page: {
  readonly items: readonly T[];
  readonly continue?: string;
  readonly resourceVersion?: string;
}): ListAnswer<T> {
  const { items, ...metadata } = page;
  return { items, metadata };
}
