import type { Selector } from '@entrofleet/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { FieldRequirement } from './field.selector.ts';
import { fieldSql } from './field.sql.ts';
import { selectorSql } from './selector.sql.ts';

/** Which objects of a kind a client asks for; what is absent restricts nothing. */
export interface ObjectFilter {
  readonly selector?: Selector | undefined;
  readonly fields?: readonly FieldRequirement[] | undefined;
}

/** The condition that a row of an object table passes a filter. */
export function objectFilterSql({ selector, fields = [] }: ObjectFilter): RawBuilder<boolean> {
  const labels = selector === undefined ? sql`true` : selectorSql(selector);
  return sql<boolean>`(${labels} and ${fieldSql(fields)})`;
}
