import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from './option.names.ts';

const RULES = join(ROOT, 'charts/entrofleet/files/rules.yaml');

interface Alert {
  readonly alert: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}
const alerts: readonly Alert[] = parse(readFileSync(RULES, 'utf8')).groups.flatMap(
  (group: { rules: Alert[] }) => group.rules,
);

/** Samples of a minute each, as promtool writes them: start, step and number of steps. */
type Series = Readonly<Record<string, string | undefined>>;
const MINUTES = 180;
const steady = (value: number) => `${value}x${MINUTES}`;
/** The time of each sample, which begins at 0 here. */
const NOW = `0+60x${MINUTES}`;

const HEALTHY: Series = {
  'entrofleet_build_info{pod="c"}': steady(1),
  'entrofleet_dependency_up{pod="c",dependency="redis"}': steady(1),
  'entrofleet_leader{pod="c"}': steady(1),
  'entrofleet_leader{pod="follower"}': steady(0),
  'entrofleet_sweep_last_success_timestamp_seconds{pod="c"}': NOW,
  'entrofleet_sweep_last_success_timestamp_seconds{pod="follower"}': steady(0),
  'entrofleet_queue_keys{queue="compression",state="waiting"}': steady(50),
  'entrofleet_queue_keys{queue="compression",state="active"}': steady(2),
  'entrofleet_jobs_total{queue="compression",outcome="failed"}': steady(7),
  'entrofleet_model_variants{phase="Failed"}': steady(0),
  'entrofleet_rollouts{phase="Paused"}': steady(0),
  'entrofleet_rollouts_waiting{reason="OutsideDownloadWindow"}': steady(3),
  'entrofleet_devices{liveness="online"}': steady(99),
  'entrofleet_devices{liveness="offline"}': steady(9),
  'entrofleet_chunk_failures_total{pod="c"}': steady(4),
  'entrofleet_want_lists_dropped_total{pod="c"}': steady(4),
  'entrofleet_http_request_duration_seconds_count{status="2xx",route="/api/v1/models"}': `0+100x${MINUTES}`,
  'entrofleet_http_request_duration_seconds_count{status="5xx",route="/api/v1/models"}': `0+1x${MINUTES}`,
  'entrofleet_http_request_duration_seconds_count{status="5xx",route="/readyz"}': `0+99x${MINUTES}`,
};

/** What is different of the healthy one in a fleet where exactly this alert fires. */
const SICK: Readonly<Record<string, Series>> = {
  EntrofleetAbsent: { 'entrofleet_build_info{pod="c"}': undefined },
  EntrofleetDependencyDown: {
    'entrofleet_dependency_up{pod="c",dependency="redis"}': steady(0),
  },
  EntrofleetNoLeader: { 'entrofleet_leader{pod="c"}': steady(0) },
  EntrofleetSweepFails: {
    'entrofleet_sweep_last_success_timestamp_seconds{pod="c"}': steady(30),
  },
  EntrofleetNoWorker: { 'entrofleet_queue_keys{queue="compression",state="active"}': steady(0) },
  EntrofleetQueueGrows: {
    'entrofleet_queue_keys{queue="compression",state="waiting"}': `5+1x${MINUTES}`,
  },
  EntrofleetCompressionFails: {
    'entrofleet_jobs_total{queue="compression",outcome="failed"}': `0+1x${MINUTES}`,
  },
  EntrofleetVariantFailed: { 'entrofleet_model_variants{phase="Failed"}': steady(1) },
  EntrofleetRolloutPaused: { 'entrofleet_rollouts{phase="Paused"}': steady(1) },
  EntrofleetRolloutStalled: { 'entrofleet_rollouts_waiting{reason="MaxUnavailable"}': steady(1) },
  EntrofleetDevicesOffline: { 'entrofleet_devices{liveness="offline"}': steady(12) },
  EntrofleetMostDevicesOffline: { 'entrofleet_devices{liveness="offline"}': steady(100) },
  EntrofleetDistributionFails: {
    'entrofleet_chunk_failures_total{pod="c"}': `0+1x${MINUTES}`,
  },
  EntrofleetApiErrors: {
    'entrofleet_http_request_duration_seconds_count{status="5xx",route="/api/v1/models"}': `0+9x${MINUTES}`,
  },
};
/** Alerts that fire as well, because what they ask for is a part of it. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  EntrofleetMostDevicesOffline: ['EntrofleetDevicesOffline'],
};

function fleetCase(sick: Series, firing: readonly string[]): object {
  const series = Object.entries({ ...HEALTHY, ...sick });
  return {
    interval: '1m',
    input_series: series.flatMap(([name, values]) =>
      values === undefined ? [] : [{ series: name, values }],
    ),
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: '150m',
        exp_samples: firing.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
      },
      // At the start nothing is wrong for long enough.
      { expr: 'count(ALERTS{alertstate="firing"})', eval_time: '1m', exp_samples: [] },
    ],
  };
}

const version = spawnSync('promtool', ['--version'], { encoding: 'utf8' });
const hasPromtool = version.status === 0;
if (!hasPromtool) console.warn('SKIPPED: alerts in promtool: not installed (apt: prometheus)');

async function tested(tests: readonly object[]): Promise<{ status: number | null; text: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-alerts-'));
  try {
    const path = join(folder, 'tests.yaml');
    const file = { rule_files: [RULES], evaluation_interval: '1m', tests };
    await writeFile(path, JSON.stringify(file));
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', path], {
      encoding: 'utf8',
    });
    return { status, text: stdout + stderr };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('the alerts of the chart', () => {
  it.each(alerts)('$alert has a severity, a summary and what to do next', (alert) => {
    expect(alert.labels.severity).toMatch(/^(warning|critical)$/);
    expect(alert.for).toMatch(/^\d+[mh]$/);
    expect(alert.annotations.summary).toMatch(/^\S.+\.$/);
    expect(alert.annotations.description).toMatch(/kubectl |entrofleet (get|describe) /);
  });

  it('have a sick fleet each below', () => {
    expect(Object.keys(SICK).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it.skipIf(!hasPromtool)('are quiet while the fleet is well', async () => {
    expect(await tested([fleetCase({}, [])])).toMatchObject({ status: 0 });
  });

  it.skipIf(!hasPromtool).each(Object.entries(SICK))(
    '%s fires, and no other',
    async (name, sick) => {
      const firing = [name, ...(ALSO[name] ?? [])].sort();
      const { status, text } = await tested([fleetCase(sick, firing)]);
      expect(status, text).toBe(0);
    },
  );
});
