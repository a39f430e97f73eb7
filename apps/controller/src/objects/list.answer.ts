/** The list envelope of libs/protocol. */
export interface ListAnswer<T> {
  readonly items: readonly T[];
  readonly metadata: { readonly continue?: string };
}

export function listAnswer<T>(page: {
  readonly items: readonly T[];
  readonly continue?: string;
}): ListAnswer<T> {
  const { items, continue: token } = page;
  return { items, metadata: token === undefined ? {} : { continue: token } };
}
