/** Columns as wide as their widest cell, to the left, as kubectl prints them. */
export function textTable(
  rows: readonly (readonly string[])[],
  widths = columnWidths(rows),
): string {
  return rows
    .map((row) => {
      const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
      return `${cells.join('   ').trimEnd()}\n`;
    })
    .join('');
}

export function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  return Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
}

/** What is not known is `-`, never invented. */
export function orDash(value: string | number | null | undefined): string {
  return value === null || value === undefined || value === '' ? '-' : String(value);
}

export function figure(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined ? '-' : value.toFixed(digits);
}

/** People count waves from one. */
export function waveNumber(wave: number | null): string {
  return wave === null ? '-' : String(wave + 1);
}

/** Time since an instant: `42s`, `12m`, `5h`, `3d`. */
export function ageText(instant: string | null | undefined, nowMs: number): string {
  if (instant === null || instant === undefined) return '-';
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(instant)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return orDash(
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  );
}
