import { ArtifactError } from './artifact.error.ts';
import { isJsonObject } from './bounded.json.ts';

/**
 * Checked access to the members of one JSON object of the header. The first fault throws, so a
 * hostile header cannot make the reader collect errors.
 */
export class HeaderFields {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #path: string;

  /** @throws ArtifactError `BadHeader` when `value` is no object with exactly these keys. */
  constructor(value: unknown, where: { path: string; keys: readonly string[] }) {
    this.#path = where.path;
    if (!isJsonObject(value)) throw badHeader(where.path, 'must be an object');
    this.#value = value;
    const unknown = Object.keys(value).find((key) => !where.keys.includes(key));
    if (unknown !== undefined) {
      throw badHeader(where.path, `has the unknown field "${unknown.slice(0, 40)}"`);
    }
    const absent = where.keys.find((key) => !Object.hasOwn(value, key));
    if (absent !== undefined) throw badHeader(where.path, `lacks the field "${absent}"`);
  }

  /** The member as it is. */
  raw(key: string): unknown {
    return this.#value[key];
  }

  pathOf(key: string): string {
    return `${this.#path}/${key}`;
  }

  integer(key: string, range: { min: number; max: number }): number {
    const value = this.#value[key];
    if (!isIntegerIn(value, range)) {
      throw badHeader(this.pathOf(key), `must be an integer from ${range.min} to ${range.max}`);
    }
    return value;
  }

  integers(key: string, range: { min: number; max: number; lengthMax: number }): number[] {
    const list = this.array(key, range.lengthMax);
    const isFine = (item: unknown): item is number => isIntegerIn(item, range);
    if (list.every(isFine)) return list;
    throw badHeader(this.pathOf(key), `must hold integers from ${range.min} to ${range.max}`);
  }

  text(key: string, pattern: RegExp): string {
    const value = this.#value[key];
    if (typeof value === 'string' && pattern.test(value)) return value;
    throw badHeader(this.pathOf(key), `must be text like ${pattern.source}`);
  }

  oneOf<T extends string | number>(key: string, choices: readonly T[]): T {
    const value = this.#value[key];
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) {
      throw badHeader(this.pathOf(key), `must be one of ${choices.join(', ')}`);
    }
    return choice;
  }

  array(key: string, lengthMax: number): unknown[] {
    const value = this.#value[key];
    if (Array.isArray(value) && value.length <= lengthMax) return value;
    throw badHeader(this.pathOf(key), `must be a list of at most ${lengthMax}`);
  }
}

export function badHeader(path: string, detail: string): ArtifactError {
  return new ArtifactError(
    'BadHeader',
    `the artifact's header is not valid: ${path || '/'} ${detail}; fetch or encode it again`,
  );
}

function isIntegerIn(value: unknown, range: { min: number; max: number }): value is number {
  return (
    typeof value === 'number' &&
    Number.isSafeInteger(value) &&
    value >= range.min &&
    value <= range.max
  );
}
