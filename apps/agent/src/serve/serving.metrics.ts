import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Usage } from './answer.form.ts';
import type { ModelSlot } from './model.slot.ts';
import type { RequestGate } from './request.gate.ts';
import type { ServedModel } from './served.model.ts';

const PREFIX = 'entrofleet_agent_';
const SHORT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const LONG_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** What the HTTP API counts, in Prometheus' text format. Each server has its own registry. */
export class ServingMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'route' | 'method' | 'code'>;
  readonly #requestSeconds: Histogram<'route'>;
  readonly #promptTokens: Counter;
  readonly #generatedTokens: Counter;
  readonly #firstTokenSeconds: Histogram;
  readonly #interTokenSeconds: Histogram;

  constructor(read: { slot: ModelSlot<ServedModel>; gate: RequestGate }) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const named = (name: string, help: string) => ({ name: PREFIX + name, help, registers });
    this.#requests = new Counter({
      ...named('http_requests_total', 'Requests answered, by route, method and status code'),
      labelNames: ['route', 'method', 'code'],
    });
    this.#requestSeconds = new Histogram({
      ...named('http_request_duration_seconds', 'From the head of a request to its answer’s end'),
      labelNames: ['route'],
      buckets: LONG_SECONDS,
    });
    this.#promptTokens = new Counter(named('prompt_tokens_total', 'Tokens of prompts answered'));
    this.#generatedTokens = new Counter(named('generated_tokens_total', 'Tokens generated'));
    this.#firstTokenSeconds = new Histogram({
      ...named('time_to_first_token_seconds', 'From the head of a request to its first token'),
      buckets: LONG_SECONDS,
    });
    this.#interTokenSeconds = new Histogram({
      ...named('inter_token_seconds', 'Between two tokens of one request'),
      buckets: SHORT_SECONDS,
    });
    addLoadGauges(named, read);
    addModelGauges(named, read.slot);
    addModelCounters(named, read.slot);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  requestEnded(use: { route: string; method: string; code: number; seconds: number }): void {
    const { route, method, code, seconds } = use;
    this.#requests.inc({ route, method, code });
    this.#requestSeconds.observe({ route }, seconds);
  }

  answered(usage: Usage): void {
    this.#promptTokens.inc(usage.promptTokens);
  }

  /** A token has come, so long after the one before it, or as the first of its request. */
  token(use: { isFirst: boolean; seconds: number }): void {
    this.#generatedTokens.inc();
    if (use.isFirst) this.#firstTokenSeconds.observe(use.seconds);
    else this.#interTokenSeconds.observe(use.seconds);
  }
}

type Named = (name: string, help: string) => { name: string; help: string; registers: Registry[] };

/** Read when they are asked for. */
function addLoadGauges(
  named: Named,
  { slot, gate }: { slot: ModelSlot<ServedModel>; gate: RequestGate },
): void {
  const gauges: [string, string, () => number][] = [
    ['requests_running', 'Requests that generate', () => gate.inside],
    ['requests_waiting', 'Requests in the queue', () => gate.waiting],
    ['model_leases', 'Requests on the serving model and on replaced ones', () => slot.leases],
    ['model_ready', '1 when a model serves', () => (slot.current === null ? 0 : 1)],
  ];
  for (const [name, help, value] of gauges) addGauge(named(name, help), value);
}

/** Of the model that serves; absent when there is none. */
function addModelGauges(named: Named, slot: ModelSlot<ServedModel>): void {
  const gauges: [string, string, (model: ServedModel) => number][] = [
    ['sequences_running', 'Texts decoded together', (m) => m.statistics.runningSequences],
    ['sequences_waiting', 'Texts waiting for a place', (m) => m.statistics.waitingSequences],
    ['kv_cache_bytes', 'Memory reserved for KV caches', (m) => m.statistics.keyValueBytes],
    ['kv_cache_limit_bytes', 'Most of it', (m) => m.statistics.keyValueBudgetBytes],
    ['weights_bytes', 'Weights in memory', (m) => m.figures.weightBytes],
    ['model_load_seconds', 'Time to load the model', (m) => m.figures.loadSeconds],
    ['context_length_tokens', 'Longest prompt with completion', (m) => m.contextLength],
  ];
  for (const [name, help, value] of gauges) {
    addGauge(named(name, help), () => (slot.current === null ? null : value(slot.current)));
  }
  new Gauge({
    ...named('model_info', 'The model that serves'),
    labelNames: ['model', 'variant', 'artifact'],
    collect() {
      this.reset();
      const target = slot.current?.target;
      if (target === undefined) return;
      const { model, variant, artifact } = target;
      this.set({ model, variant, artifact: artifact.id }, 1);
    },
  });
}

/** They begin anew with every model, as counters may. */
function addModelCounters(named: Named, slot: ModelSlot<ServedModel>): void {
  const add = (name: string, help: string, value: (model: ServedModel) => number): void => {
    new Counter({
      ...named(name, help),
      collect() {
        this.reset();
        this.inc(slot.current === null ? 0 : value(slot.current));
      },
    });
  };
  const sharedHelp = 'Tokens of prompts that were found in a KV cache';
  add('shared_prompt_tokens_total', sharedHelp, (model) => model.statistics.sharedTokens);
  const preemptionsHelp = 'Texts that gave their KV cache up for another';
  add('preemptions_total', preemptionsHelp, (model) => model.statistics.preemptions);
}

function addGauge(named: ReturnType<Named>, value: () => number | null): void {
  new Gauge({
    ...named,
    collect() {
      const now = value();
      if (now === null) this.remove();
      else this.set(now);
    },
  });
}
