import { Option } from 'commander';
import { stringify } from 'yaml';
import { jsonText } from '../command.context.ts';
import type { ResourceKind, Shown } from './resource.kind.ts';
import { columnWidths, textTable } from './text.table.ts';

export const OUTPUT_FORMS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputForm = (typeof OUTPUT_FORMS)[number];

export const API_VERSION = 'entrofleet.io/v1alpha1';

export function outputOption(): Option {
  return new Option('-o, --output <form>', 'how to print')
    .choices(OUTPUT_FORMS)
    .default('table' satisfies OutputForm);
}

/** As a manifest has it, so that what is read can be applied again. */
export function manifestOf(kind: ResourceKind, object: object): object {
  return { apiVersion: API_VERSION, kind: kind.kind, ...object };
}

/** All of a list; a single object that was asked for by name stands for itself in JSON and YAML. */
export function listText(
  kind: ResourceKind,
  items: readonly Shown[],
  options: { form: OutputForm; isSingle: boolean; nowMs: number },
): string {
  const { form, isSingle, nowMs } = options;
  if (form === 'name') return items.map((item) => nameText(kind, item)).join('');
  if (form === 'table' || form === 'wide') {
    const isWide = form === 'wide';
    const rows = items.map((item) => item.cells({ isWide, nowMs }));
    return textTable([kind.titles(isWide), ...rows]);
  }
  const manifests = items.map(({ object }) => manifestOf(kind, object));
  const value = isSingle
    ? manifests[0]
    : { apiVersion: API_VERSION, kind: `${kind.kind}List`, items: manifests };
  return form === 'json' ? jsonText(value) : stringify(value);
}

function nameText(kind: ResourceKind, { name }: Shown): string {
  return `${kind.kind.toLowerCase()}/${name}\n`;
}

/** Prints one object after the other, in columns that grow and never shrink. */
export class ShownRows {
  readonly #kind: ResourceKind;
  readonly #form: OutputForm;
  #widths: readonly number[] = [];

  constructor(kind: ResourceKind, form: OutputForm) {
    this.#kind = kind;
    this.#form = form;
  }

  header(): string {
    return this.#isTable ? this.#rows([['EVENT', ...this.#kind.titles(this.#isWide)]]) : '';
  }

  row(type: string, shown: Shown, nowMs: number): string {
    if (this.#isTable) {
      return this.#rows([[type, ...shown.cells({ isWide: this.#isWide, nowMs })]]);
    }
    if (this.#form === 'name') return nameText(this.#kind, shown);
    const event = { type, object: manifestOf(this.#kind, shown.object) };
    return this.#form === 'json' ? `${JSON.stringify(event)}\n` : `---\n${stringify(event)}`;
  }

  get #isTable(): boolean {
    return this.#form === 'table' || this.#isWide;
  }

  get #isWide(): boolean {
    return this.#form === 'wide';
  }

  #rows(rows: readonly (readonly string[])[]): string {
    const wanted = columnWidths(rows);
    this.#widths = wanted.map((width, column) => Math.max(width, this.#widths[column] ?? 0));
    return textTable(rows, [...this.#widths]);
  }
}
