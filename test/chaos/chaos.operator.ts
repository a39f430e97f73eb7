import { setTimeout as sleep } from 'node:timers/promises';
import type { Device, Member, Model, Rollout } from '@entrofleet/protocol';
import { ApiClient } from '../support/api.client.ts';
import { AcknowledgedValue } from './acknowledged.value.ts';
import type { ChaosStep } from './chaos.schedule.ts';
import type { ChaosTimeline } from './chaos.timeline.ts';
import type { ChaosWorld } from './chaos.world.ts';
import type { WaveWatch } from './wave.watch.ts';

export const ROLLOUT = 'fleet';
const REQUEST_MS = 8000;
const POLL_MS = 500;
/** A person looks at what has failed for so long before trying again. */
const HESITATION_MS = 3000;
const INSIST_MS = 30_000;
const INSIST_PAUSE_MS = 500;

/** What a person or a pipeline does with the API, and what they were promised by its answers. */
export class ChaosOperator {
  readonly #api: ApiClient;
  readonly #world: ChaosWorld;
  readonly #timeline: ChaosTimeline;
  readonly #waves: WaveWatch;
  readonly model = new AcknowledgedValue<string>();
  readonly labels = new Map<string, AcknowledgedValue<string>>();
  readonly createdModels = new Set<string>();
  /** Models in the order in which the fleet was asked for them; a request may have been lost. */
  readonly asked: string[] = [];
  readonly convergedMs: number[] = [];
  retries = 0;
  refused = 0;
  #wantedSinceMs: number | undefined;
  #wantedGeneration = 0;
  #pausedSinceMs: number | undefined;
  #labelled = 0;
  #lastNews = '';
  #changes = 0;

  constructor(use: { world: ChaosWorld; timeline: ChaosTimeline; waves: WaveWatch }) {
    this.#world = use.world;
    this.#timeline = use.timeline;
    this.#waves = use.waves;
    this.#api = new ApiClient(use.world.controllerUrl, { timeoutMs: REQUEST_MS });
  }

  perform(step: ChaosStep): Promise<void> {
    if (step.kind === 'ChangeModel') return this.changeModel(step.target);
    if (step.kind === 'CreateModel') return this.createModel(step.target);
    return this.#label(step.target);
  }

  /** Insists until it is acknowledged, or until another change comes. */
  async changeModel(model: string): Promise<void> {
    const change = ++this.#changes;
    this.asked.push(model);
    await this.#insist(`change to ${model}`, async () => {
      if (change !== this.#changes) return true;
      const acknowledge = this.model.attempt(model);
      const body = { metadata: { name: ROLLOUT }, spec: rolloutSpec(model) };
      const { status, body: answer } = await this.#api.put(`/api/v1/rollouts/${ROLLOUT}`, body);
      if (!isGood(status)) return false;
      acknowledge();
      this.#wantedSinceMs = performance.now();
      this.#wantedGeneration = (answer as Rollout).metadata.generation;
      return true;
    });
  }

  async createModel(name: string): Promise<void> {
    await this.#insist(`create ${name}`, async () => {
      const spec = {
        source: { path: this.#world.checkpoint(name) },
        variants: ['u8'],
        quality: { maxPerplexityRatio: 1000 },
        evaluation: { rows: 2, rowTokens: 16 },
      };
      const { status } = await this.#api.post('/api/v1/models', { metadata: { name }, spec });
      // Also when a request that was never answered has made it before.
      if (!isGood(status) && status !== 409) return false;
      this.createdModels.add(name);
      return true;
    });
  }

  async #label(device: string): Promise<void> {
    const note = `n${++this.#labelled}`;
    const value = this.labels.get(device) ?? new AcknowledgedValue<string>();
    this.labels.set(device, value);
    const acknowledge = value.attempt(note);
    const body = { labels: { note } };
    const answer = await this.#api
      .send('PATCH', `/api/v1/devices/${device}`, body)
      .catch(() => undefined);
    if (answer !== undefined && isGood(answer.status)) acknowledge();
    else this.refused++;
  }

  /** Looks at the rollout until `signal` aborts, and retries what has failed. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch(() => undefined);
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns the rollout; it rejects while the API does not answer. */
  async look(): Promise<Rollout> {
    const rollout = await this.#rollout();
    const members = await this.#items<Member>(`rollouts/${ROLLOUT}/members`);
    const { resourceVersion } = (await this.#rollout()).metadata;
    // Only what did not change between the requests is one picture.
    if (resourceVersion === rollout.metadata.resourceVersion) {
      for (const problem of this.#waves.see(rollout, members)) this.#timeline.violate(problem);
    }
    this.#noteComplete(rollout);
    await this.#retryWhenPaused(rollout, members);
    return rollout;
  }

  async #rollout(): Promise<Rollout> {
    const { status, body } = await this.#api.get(`/api/v1/rollouts/${ROLLOUT}`);
    if (status !== 200) throw new Error(`GET rollout: ${status} ${JSON.stringify(body)}`);
    return body as Rollout;
  }

  async models(): Promise<Model[]> {
    return this.#items<Model>('models');
  }

  async devices(): Promise<Device[]> {
    return this.#items<Device>('devices');
  }

  /** Starts variants that have failed again, as a person would. */
  async retryModels(): Promise<void> {
    for (const { metadata, status } of await this.models()) {
      if (status.variants.every((variant) => variant.phase !== 'Failed')) continue;
      this.retries++;
      this.#timeline.note(`retry model ${metadata.name}: ${status.variants[0]?.message}`);
      await this.#api.post(`/api/v1/models/${metadata.name}/retry`);
    }
  }

  async #items<T>(kind: string): Promise<T[]> {
    const { status, body } = await this.#api.get(`/api/v1/${kind}`);
    if (status !== 200) throw new Error(`GET ${kind}: ${status} ${JSON.stringify(body)}`);
    return (body as { items: T[] }).items;
  }

  /** A device that is offline is waited for by nobody, so a rollout may be complete without it. */
  #noteComplete({ metadata, status }: Rollout): void {
    const standing = Object.entries(status.counts).filter(([, count]) => count > 0);
    const words = standing.map(([state, count]) => `${count} ${state}`).join(', ');
    const news = `generation ${metadata.generation}: ${status.phase}, ${words}`;
    if (news !== this.#lastNews) this.#timeline.note(news);
    this.#lastNews = news;
    if (this.#wantedSinceMs === undefined || status.phase !== 'Complete') return;
    if (status.observedGeneration < this.#wantedGeneration) return;
    if (status.observedGeneration !== metadata.generation) return;
    this.convergedMs.push(performance.now() - this.#wantedSinceMs);
    this.#wantedSinceMs = undefined;
  }

  async #retryWhenPaused({ status }: Rollout, members: readonly Member[]): Promise<void> {
    if (status.phase !== 'Paused') {
      this.#pausedSinceMs = undefined;
      return;
    }
    this.#pausedSinceMs ??= performance.now();
    if (performance.now() - this.#pausedSinceMs < HESITATION_MS) return;
    this.#pausedSinceMs = undefined;
    this.retries++;
    const failed = members.filter((member) => member.state === 'Failed');
    const why = failed.map((m) => `${m.device}: ${m.message.slice(0, 200)}`).join('; ');
    this.#timeline.note(`retry rollout: ${why}`);
    await this.#api.post(`/api/v1/rollouts/${ROLLOUT}/retry`);
  }

  async #insist(what: string, ask: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + INSIST_MS;
    while (performance.now() < deadlineMs) {
      if (await ask().catch(() => false)) return;
      this.refused++;
      await sleep(INSIST_PAUSE_MS);
    }
    this.#timeline.note(`gave up: ${what}`);
  }
}

function rolloutSpec(model: string): object {
  return {
    selector: { matchLabels: { site: 'lab' } },
    model,
    variant: 'u8',
    strategy: {
      waves: [{ count: 1 }, { percent: 50 }, { percent: 100 }],
      progressDeadlineSeconds: 60,
    },
  };
}

function isGood(status: number): boolean {
  return status >= 200 && status < 300;
}
