import { type RawBuilder, sql } from 'kysely';
import type { FieldRequirement, SelectableField } from './field.selector.ts';

/** The condition that a row of an object table satisfies field requirements, as fieldsMatch decides. */
export function fieldSql(requirements: readonly FieldRequirement[]): RawBuilder<boolean> {
  const conditions = requirements.map(({ field, isEqual, value }) => {
    const text = sql`coalesce(${textSql(field)}, ${field.absent ?? ''}::text)`;
    return isEqual
      ? sql<boolean>`${text} = ${value}::text`
      : sql<boolean>`${text} <> ${value}::text`;
  });
  return sql<boolean>`(${sql.join([sql`true`, ...conditions], sql` and `)})`;
}

/** `metadata.name` and the fields of events are columns; spec and status are documents. */
function textSql({ path: [root, ...keys] }: SelectableField): RawBuilder<unknown> {
  if (root === 'spec' || root === 'status') return sql`${sql.ref(root)} #>> ${keys}::text[]`;
  return sql.ref(keys.at(-1) ?? root);
}
