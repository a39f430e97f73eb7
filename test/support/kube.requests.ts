import type { Kube } from '../../deploy/private/kube.ts';
import { parseMetrics } from './prometheus.text.ts';

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE']);
const LABEL = /(\w+)="([^"]*)"/g;

/** Writes that the API server has answered since its start, whoever sent them, by resource. */
export async function writesByResource(kube: Kube): Promise<ReadonlyMap<string, number>> {
  const { body } = await kube.call('GET', '/metrics');
  const lines = String(body)
    .split('\n')
    .filter((line) => /^(# TYPE )?apiserver_request_total[ {]/.test(line));
  const counts = new Map<string, number>();
  for (const [series, value] of parseMetrics(lines.join('\n'))) {
    const { verb = '', resource = '' } = Object.fromEntries(
      [...series.matchAll(LABEL)].map(([, name = '', text = '']) => [name, text]),
    );
    if (WRITES.has(verb)) counts.set(resource, (counts.get(resource) ?? 0) + value);
  }
  return counts;
}

/** How many more there are now, by resource; those that are the same are left out. */
export function writesSince(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
  const more = [...after].map(([resource, count]) => {
    return [resource, count - (before.get(resource) ?? 0)] as const;
  });
  return Object.fromEntries(more.filter(([, count]) => count > 0));
}
