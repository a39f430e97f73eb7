// Puts the table of the chart's values between the markers of docs/CHART.md: npm run chart-docs
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');
const CHART = join(ROOT, 'charts/entrofleet');
const DOCUMENT = join(ROOT, 'docs/CHART.md');
const MARKED = /<!-- values -->\n[\s\S]*?<!-- \/values -->/;
const KEY = /^( *)([A-Za-z][\w./-]*):(?: (.*))?$/;
const COMMENT = /^ *# ?(.*)$/;
const DESCRIPTION = '-- ';

/** The part of JSON Schema that values.schema.json uses to tell what a value may be. */
export interface ValueSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, ValueSchema>>;
  readonly definitions?: Readonly<Record<string, ValueSchema>>;
}

export interface ValueRow {
  /** With dots: `controller.image.tag`. */
  readonly key: string;
  readonly type: string;
  /** As JSON. */
  readonly default: string;
  /** Empty when values.yaml says nothing above the key. */
  readonly description: string;
}

/**
 * One row for each value: a key with a description (`# -- text` above it, after helm-docs), or one
 * that holds no further keys. What a described key holds belongs to its default.
 */
export function valueRows(valuesText: string, schema: ValueSchema): ValueRow[] {
  const values: unknown = parse(valuesText);
  const rows: ValueRow[] = [];
  const parents: { readonly name: string; readonly indent: number }[] = [];
  let comment: string[] = [];
  let describedIndent = Number.POSITIVE_INFINITY;
  for (const line of valuesText.split('\n')) {
    const said = COMMENT.exec(line)?.[1];
    const [isKey, spaces = '', name = '', rest] = KEY.exec(line) ?? [];
    if (said !== undefined) comment.push(said);
    if (isKey !== undefined && spaces.length <= describedIndent) {
      describedIndent = Number.POSITIVE_INFINITY;
      while ((parents.at(-1)?.indent ?? -1) >= spaces.length) parents.pop();
      parents.push({ name, indent: spaces.length });
      const description = descriptionOf(comment);
      if (description !== '' || rest !== undefined) {
        const path = parents.map((parent) => parent.name);
        rows.push(rowOf({ path, description, values, schema }));
        describedIndent = spaces.length;
      }
    }
    if (said === undefined) comment = [];
  }
  return rows;
}

function descriptionOf(comment: readonly string[]): string {
  const begin = comment.findIndex((text) => text.startsWith(DESCRIPTION));
  return begin === -1 ? '' : comment.slice(begin).join(' ').slice(DESCRIPTION.length);
}

function rowOf(of: {
  readonly path: readonly string[];
  readonly description: string;
  readonly values: unknown;
  readonly schema: ValueSchema;
}): ValueRow {
  let value = of.values;
  let schema = of.schema;
  for (const name of of.path) {
    value = Object(value)[name];
    schema = resolved(schema.properties?.[name] ?? {}, of.schema);
  }
  return {
    key: of.path.join('.'),
    type: typeText(schema),
    default: JSON.stringify(value),
    description: of.description,
  };
}

function resolved(schema: ValueSchema, root: ValueSchema): ValueSchema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : (root.definitions?.[name] ?? {});
}

function typeText({ type = 'any', enum: choices, minimum, maximum }: ValueSchema): string {
  if (choices !== undefined) return choices.map((choice) => `\`${choice}\``).join(', ');
  const name = typeof type === 'string' ? type : type.join(' or ');
  if (minimum === undefined) return name;
  return maximum === undefined ? `${name}, from ${minimum}` : `${name}, ${minimum} to ${maximum}`;
}

function tablesOf(rows: readonly ValueRow[]): string {
  const sections = Map.groupBy(rows, ({ key }) => (key.includes('.') ? key.split('.')[0] : ''));
  return [...sections]
    .map(([section, members]) => {
      const lines = members.map((row) => {
        const cells = [`\`${row.key}\``, row.type, `\`${row.default}\``, row.description];
        return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
      });
      const head = ['| value | type | default | meaning |', '| --- | --- | --- | --- |'];
      return [`### ${section || 'For all parts'}`, '', ...head, ...lines, ''].join('\n');
    })
    .join('\n');
}

/** docs/CHART.md as values.yaml and values.schema.json want it. @throws Error without markers. */
export async function documentedChart(): Promise<{ path: string; text: string }> {
  const valuesText = await readFile(join(CHART, 'values.yaml'), 'utf8');
  const schema: ValueSchema = JSON.parse(await readFile(join(CHART, 'values.schema.json'), 'utf8'));
  const document = await readFile(DOCUMENT, 'utf8');
  if (!MARKED.test(document)) throw new Error(`${DOCUMENT} has no <!-- values --> markers`);
  const tables = tablesOf(valueRows(valuesText, schema));
  const block = `<!-- values -->\n\n${tables}\n<!-- /values -->`;
  return { path: DOCUMENT, text: document.replace(MARKED, () => block) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, text } = await documentedChart();
  await writeFile(path, text);
}
