const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$/;
const COMMENT = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) \S/;

/**
 * Values by name and labels, as they are written.
 * @throws Error when a line is not of Prometheus' text format 0.0.4, or a sample has no type.
 */
export function parseMetrics(text: string): ReadonlyMap<string, number> {
  const types = new Set<string>();
  const values = new Map<string, number>();
  for (const line of text.split('\n').filter((l) => l !== '')) {
    const comment = COMMENT.exec(line);
    const sample = SAMPLE.exec(line);
    if (comment?.[1] === 'TYPE') types.add(comment[2] ?? '');
    if (comment !== null) continue;
    const [, name = '', value = ''] = sample ?? [];
    const family = name.replace(/\{.*$/, '');
    const isTyped = types.has(family) || types.has(family.replace(/_(bucket|sum|count)$/, ''));
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
    if (!isTyped || Number.isNaN(number)) throw new Error(`not a metric: ${line}`);
    values.set(name, number);
  }
  return values;
}
