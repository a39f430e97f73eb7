import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { MetricDescription } from '../../apps/controller/src/adapters/metrics.ts';
import { metricDescriptions } from '../support/metric.descriptions.ts';
import { ROOT } from './option.names.ts';

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[];
}

let metrics: readonly MetricDescription[];
beforeAll(async () => {
  metrics = await metricDescriptions();
});

describe('the metrics of the controller', () => {
  it('are those of the table in docs/OPERATIONS.md', () => {
    const guide = readFileSync(join(ROOT, 'docs/OPERATIONS.md'), 'utf8');
    const [, table] = /<!-- metrics -->\n([\s\S]*?)<!-- \/metrics -->/.exec(guide) ?? [];
    const rows = metrics.map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
    );
    expect(table).toBe(
      `${['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')}\n`,
    );
  });

  it('have a unit at the end of their names where they have one, and counters their suffix', () => {
    for (const { name, type } of metrics) {
      expect(name).toMatch(/^entrofleet_[a-z]+(_[a-z]+)*$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
    }
  });

  it('have no label that grows with the fleet', () => {
    const known = [
      'dependency',
      'kind',
      'liveness',
      'method',
      'node',
      'outcome',
      'phase',
      'queue',
      'reason',
      'role',
      'route',
      'state',
      'status',
      'task',
      'version',
    ];
    for (const label of metrics.flatMap(({ labels }) => labels)) expect(known).toContain(label);
  });

  it('are the only ones that the alerts of the chart name', () => {
    const path = join(ROOT, 'charts/entrofleet/files/rules.yaml');
    const rules: Rules = parse(readFileSync(path, 'utf8'));
    const known = new Set(
      metrics.flatMap(({ name, type }) =>
        type === 'histogram' ? ['bucket', 'count', 'sum'].map((end) => `${name}_${end}`) : [name],
      ),
    );
    const named = rules.groups.flatMap(({ rules: each }) =>
      each.flatMap(({ expr }) => expr.match(/entrofleet_\w+/g) ?? []),
    );
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });
});
