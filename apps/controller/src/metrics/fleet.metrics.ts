import { Inject, Injectable } from '@nestjs/common';
import { Metrics, type Sample } from '../adapters/metrics.ts';
import { CONFIG, type Config } from '../config.ts';
import { Sweep } from '../sweep/sweep.ts';
import { type Figures, type FleetFigures, FleetFiguresStore } from './fleet.figures.store.ts';

/** Figures that so many sweeps have not renewed are of a fleet that is not known any more. */
const KEPT_SWEEPS = 3;
const KEPT_LEAST_MS = 30_000;

/**
 * The fleet in figures, of the process that sweeps. They are counted by the sweep, so that a scrape
 * costs nothing however large the fleet is, and so that only one of several replicas tells them.
 */
@Injectable()
export class FleetMetrics {
  #latest: { readonly figures: FleetFigures; readonly atMs: number } | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(FleetFiguresStore) private readonly store: FleetFiguresStore,
    @Inject(Sweep) sweep: Sweep,
    @Inject(Metrics) metrics: Metrics,
  ) {
    sweep.add('figures', () => this.count());
    metrics.reading(
      {
        name: 'devices',
        help: 'Devices by whether they are heard of: online, offline',
        labels: ['liveness'],
      },
      () => this.samples('liveness', (figures) => figures.devices),
    );
    metrics.reading({ name: 'rollouts', help: 'Rollouts by phase', labels: ['phase'] }, () =>
      this.samples('phase', (figures) => figures.rollouts),
    );
    metrics.reading(
      {
        name: 'rollouts_waiting',
        help: 'Rollouts under way with no device at work, by the reason in docs/ROLLOUTS.md',
        labels: ['reason'],
      },
      () => this.samples('reason', (figures) => figures.waitingRollouts),
    );
    metrics.reading(
      { name: 'model_variants', help: 'Variants of all models by phase', labels: ['phase'] },
      () => this.samples('phase', (figures) => figures.variants),
    );
  }

  private async count(): Promise<void> {
    this.#latest = { figures: await this.store.read(), atMs: performance.now() };
  }

  private samples<L extends string>(label: L, of: (figures: FleetFigures) => Figures): Sample<L>[] {
    const keptMs = Math.max(KEPT_LEAST_MS, KEPT_SWEEPS * this.config.sweepIntervalMs);
    if (this.#latest === undefined || performance.now() - this.#latest.atMs > keptMs) return [];
    return [...of(this.#latest.figures)].map(([key, value]) => ({
      labels: { [label]: key } as Record<L, string>,
      value,
    }));
  }
}
