import { Inject, Injectable } from '@nestjs/common';
import { Metrics } from '../adapters/metrics.ts';
import { KeyQueue } from '../adapters/queue.ts';
import { DELTA_QUEUE } from '../compression/delta.key.ts';
import { CONFIG, type Config, ROLES } from '../config.ts';
import { ReadinessChecks } from '../health/readiness.ts';
import { Leadership } from '../kube/leadership.ts';
import { COMPRESSION_QUEUE } from '../models/variant.key.ts';
import { RECONCILE_QUEUE } from '../rollouts/rollout.wakeups.ts';
import { controllerVersion } from '../version.ts';

const QUEUES = [COMPRESSION_QUEUE, DELTA_QUEUE, RECONCILE_QUEUE];

/** What this process is, what it reaches, and the queues, which every process sees alike. */
@Injectable()
export class ProcessMetrics {
  constructor(
    @Inject(Metrics) metrics: Metrics,
    @Inject(CONFIG) config: Config,
    @Inject(ReadinessChecks) checks: ReadinessChecks,
    @Inject(KeyQueue) queue: KeyQueue,
    @Inject(Leadership) leadership: Leadership,
  ) {
    const build = { version: controllerVersion(), node: process.version };
    metrics.reading(
      {
        name: 'build_info',
        help: '1; its labels tell the version of the controller and of Node',
        labels: ['version', 'node'],
      },
      () => [{ labels: build, value: 1 }],
    );
    metrics.reading(
      { name: 'role_enabled', help: '1 for each role that this process has', labels: ['role'] },
      () => ROLES.map((role) => ({ labels: { role }, value: Number(config.roles.has(role)) })),
    );
    const mayLead = config.roles.has('reconciler') || config.roles.has('kubernetes');
    metrics.reading(
      {
        name: 'leader',
        help: '1 while this process sweeps and advances rollouts; without the role kubernetes any may',
      },
      () => [{ labels: {}, value: Number(mayLead && leadership.isLeader()) }],
    );
    metrics.reading(
      {
        name: 'dependency_up',
        help: '1 while this process reaches its database, redis, broker',
        labels: ['dependency'],
      },
      async () => {
        const results = await checks.runAll();
        return results.map(({ name, ok }) => ({ labels: { dependency: name }, value: Number(ok) }));
      },
    );
    metrics.reading(
      {
        name: 'queue_keys',
        help:
          'Keys of objects in a queue, by state: waiting for a worker, active, delayed until the next ' +
          'attempt, blocked by other keys, failed; the same in every process',
        labels: ['queue', 'state'],
      },
      async () => {
        const counted = await Promise.all(
          QUEUES.map(async (name) => ({ name, counts: await queue.counts(name) })),
        );
        return counted.flatMap(({ name, counts }) =>
          Object.entries(counts).map(([state, value]) => ({
            labels: { queue: name, state },
            value: Number(value),
          })),
        );
      },
    );
  }
}
