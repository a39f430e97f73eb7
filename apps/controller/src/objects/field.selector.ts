import { BadRequest } from '../errors.ts';

/** A field that lists can be narrowed to: where it lies in the object. */
export interface SelectableField {
  readonly path: readonly [string, ...string[]];
  /** How it counts when it is not there; default: as empty text. */
  readonly absent?: string;
}

/** By the name that clients write, e.g. `status.phase`. */
export type SelectableFields = Readonly<Record<string, SelectableField>>;

export interface FieldRequirement {
  readonly field: SelectableField;
  readonly isEqual: boolean;
  readonly value: string;
}

const REQUIREMENT = /^([^\s!=]+)\s*(==|=|!=)\s*([^\s!=]*)$/;

/**
 * Reads a field selector as Kubernetes writes it, e.g. `status.online=true,spec.pinned!=true`.
 * @throws BadRequest `BadFieldSelector` that names the fields there are.
 */
export function parseFieldSelector(text: string, fields: SelectableFields): FieldRequirement[] {
  if (text.trim() === '') return [];
  return text.split(',').map((part) => {
    const [, name = '', operator, value = ''] = REQUIREMENT.exec(part.trim()) ?? [];
    const known = Object.keys(fields).join(', ');
    if (operator === undefined) {
      throw new BadRequest(
        `"${part}" is no field requirement; write field=value or field!=value, field being one of ${known}`,
        'BadFieldSelector',
      );
    }
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) {
      throw new BadRequest(
        `field "${name}" is not supported in a field selector here; supported: ${known}`,
        'BadFieldSelector',
      );
    }
    return { field, isEqual: operator !== '!=', value };
  });
}

/** Decides as fieldSql does in the database. */
export function fieldsMatch(requirements: readonly FieldRequirement[], object: unknown): boolean {
  return requirements.every(({ field, isEqual, value }) => {
    return (textAt(object, field) === value) === isEqual;
  });
}

function textAt(object: unknown, { path, absent = '' }: SelectableField): string {
  let value = object;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return absent;
    value = Reflect.get(value, key);
  }
  return value === null || value === undefined ? absent : String(value);
}
