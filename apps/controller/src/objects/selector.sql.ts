import type { Selector } from '@entrofleet/protocol';
import { type RawBuilder, sql } from 'kysely';

/** The condition that a table's `labels` column satisfies a selector, as selectorMatches decides. */
export function selectorSql(selector: Selector): RawBuilder<boolean> {
  const equal = sql<boolean>`labels @> ${JSON.stringify(selector.matchLabels)}::jsonb`;
  const others = selector.matchExpressions.map((requirement) => {
    const { key, operator } = requirement;
    const present = sql<boolean>`labels ->> ${key}::text is not null`;
    if (operator === 'Exists') return present;
    if (operator === 'DoesNotExist') return sql<boolean>`not (${present})`;
    // Containment, not equality of one value: that is what the index on labels answers.
    const each = requirement.values.map(
      (v) => sql`labels @> ${JSON.stringify({ [key]: v })}::jsonb`,
    );
    const among = sql<boolean>`(${sql.join(each, sql` or `)})`;
    return operator === 'In' ? among : sql<boolean>`not ${among}`;
  });
  return sql<boolean>`${sql.join([equal, ...others], sql` and `)}`;
}
