import { CliError } from '../cli.error.ts';

export interface LabelChange {
  readonly key: string;
  /** Absent: the label is removed. */
  readonly value?: string;
}

/** Reads `key=value` or `key-`. @throws CliError `Usage` */
export function readLabelChange(text: string): LabelChange {
  const [, key, value] = /^([^=\s]+)=(\S*)$/.exec(text) ?? [];
  if (key !== undefined && value !== undefined) return { key, value };
  const [, removed] = /^([^=\s]+)-$/.exec(text) ?? [];
  if (removed !== undefined) return { key: removed };
  throw new CliError('Usage', `"${text}" is no change of a label; write key=value or key-`);
}

export function changedLabels(
  labels: Readonly<Record<string, string>>,
  changes: readonly LabelChange[],
): Record<string, string> {
  const changed = new Map(Object.entries(labels));
  for (const { key, value } of changes) {
    if (value === undefined) changed.delete(key);
    else changed.set(key, value);
  }
  return Object.fromEntries(changed);
}
