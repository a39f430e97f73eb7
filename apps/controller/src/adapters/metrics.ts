import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const PREFIX = 'entrofleet_';
/** However many scrape, what costs something is read no more often. */
const CACHE_MS = 2000;
/** Prometheus gives up after ten seconds, unless told otherwise. */
const READ_MS = 3000;
/** Gauges of the library whose names end as only those of counters may. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`);

export interface MetricSpec<L extends string> {
  /** In snake case and with its unit, without the prefix `entrofleet_`. */
  readonly name: string;
  readonly help: string;
  /** None may grow with the fleet: no names of devices, models or rollouts. */
  readonly labels?: readonly L[];
}

export interface Sample<L extends string> {
  readonly labels: Readonly<Record<L, string>>;
  readonly value: number;
}

export interface MetricDescription {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

type CounterOf<L extends string> = Pick<Counter<L>, 'inc'>;
type GaugeOf<L extends string> = Pick<Gauge<L>, 'set'>;
type HistogramOf<L extends string> = Pick<Histogram<L>, 'observe'>;

/** What this process counts, in Prometheus' text format. Whoever counts something adds it here. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #own: MetricDescription[] = [];
  #cached: { readonly text: Promise<string>; readonly atMs: number } | undefined;

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** What was added, without what the library tells of process and runtime. */
  get descriptions(): readonly MetricDescription[] {
    return this.#own.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** At most {@link CACHE_MS} old. */
  text(): Promise<string> {
    const nowMs = performance.now();
    if (this.#cached === undefined || nowMs - this.#cached.atMs > CACHE_MS) {
      this.#cached = { text: this.#registry.metrics(), atMs: nowMs };
    }
    return this.#cached.text;
  }

  counter<L extends string = never>(spec: MetricSpec<L>): CounterOf<L> {
    return new Counter(this.#named(spec, 'counter'));
  }

  gauge<L extends string = never>(spec: MetricSpec<L>): GaugeOf<L> {
    return new Gauge(this.#named(spec, 'gauge'));
  }

  /** @param spec.buckets upper bounds, in the unit of the name. */
  histogram<L extends string = never>(
    spec: MetricSpec<L> & { readonly buckets: readonly number[] },
  ): HistogramOf<L> {
    return new Histogram({ ...this.#named(spec, 'histogram'), buckets: [...spec.buckets] });
  }

  /**
   * A gauge that is read when somebody asks. It has no samples when reading fails or takes long:
   * what is not known is not told.
   */
  reading<L extends string = never>(
    spec: MetricSpec<L>,
    read: () => readonly Sample<L>[] | Promise<readonly Sample<L>[]>,
  ): void {
    const clear = (gauge: Gauge<L>) =>
      (spec.labels ?? []).length === 0 ? gauge.remove() : gauge.reset();
    const latest = async () => read();
    new Gauge<L>({
      ...this.#named(spec, 'gauge'),
      async collect() {
        const nothing = sleep(READ_MS, [], { ref: false });
        const samples = await Promise.race([latest(), nothing]).catch(() => []);
        clear(this);
        for (const { labels, value } of samples) this.set(labels, value);
      },
    });
  }

  #named<L extends string>({ name, help, labels = [] }: MetricSpec<L>, type: string) {
    this.#own.push({ name: PREFIX + name, type, help, labels });
    return { name: PREFIX + name, help, labelNames: [...labels], registers: [this.#registry] };
  }
}
