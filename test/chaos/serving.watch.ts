import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosProcess } from './chaos.process.ts';
import type { ChaosTimeline } from './chaos.timeline.ts';
import type { ChaosAgent } from './chaos.world.ts';
import { MAX_TOKENS, PROMPT } from './reference.text.ts';

const POLL_MS = 700;
const ANSWER_MS = 10_000;
/** An agent that has ever served serves so soon after its start or thaw, on a loaded machine. */
export const SERVE_WITHIN_MS = 45_000;

/** A model the fleet may run: what it is called, and what it says. */
export interface KnownModel {
  readonly name: string;
  readonly artifactId: string;
  readonly text: string;
}

/** Asks one agent again and again for a text, as its clients do, and knows what it must say. */
export class ServingWatch {
  readonly #agent: ChaosAgent;
  readonly #process: ChaosProcess;
  readonly #models: ReadonlyMap<string, KnownModel>;
  readonly #timeline: ChaosTimeline;
  /** Every model the fleet was asked to run, in order. */
  readonly #asked: readonly string[];
  #served: string | undefined;
  #before: string | undefined;
  #servedAtMs = 0;
  /** Place in `#asked` of what it serves; at the earliest, which errs on the mild side. */
  #adoptedAt = -1;
  #complained = false;
  answers = 0;
  changes = 0;

  constructor(use: {
    agent: ChaosAgent;
    process: ChaosProcess;
    models: ReadonlyMap<string, KnownModel>;
    timeline: ChaosTimeline;
    asked: readonly string[];
  }) {
    this.#agent = use.agent;
    this.#process = use.process;
    this.#models = use.models;
    this.#timeline = use.timeline;
    this.#asked = use.asked;
  }

  /** The name of the model that answered last. */
  get served(): string | undefined {
    return this.#served;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async look(): Promise<void> {
    const { kills, freezes, hasEndedByItself } = this.#process;
    if (hasEndedByItself) {
      this.#complain('ended by itself');
      await this.#process.restart();
      return;
    }
    const answer = await this.#ask();
    const { wellForMs } = this.#process;
    // What it said, or did not say, while something happened to it proves nothing.
    const isDisturbed = kills !== this.#process.kills || freezes !== this.#process.freezes;
    if (isDisturbed || wellForMs === undefined) return;
    if (answer !== undefined) return this.#judge(answer);
    const silentMs = Math.min(wellForMs, performance.now() - this.#servedAtMs);
    if (this.#served === undefined || silentMs < SERVE_WITHIN_MS) return;
    this.#complain(`does not serve although well for ${Math.round(wellForMs / 1000)} s`);
  }

  /** @returns `undefined` when it does not serve now. */
  async #ask(): Promise<{ model: string; text: string } | undefined> {
    try {
      const response = await fetch(`${this.#agent.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: PROMPT, max_tokens: MAX_TOKENS, temperature: 0 }),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const body = Object(await response.json());
      if (!response.ok) return undefined;
      const [name = ''] = String(body.model).split(':');
      return { model: name, text: String(body.choices?.[0]?.text) };
    } catch {
      return undefined;
    }
  }

  #judge({ model, text }: { model: string; text: string }): void {
    this.#complained = false;
    this.#servedAtMs = performance.now();
    this.answers++;
    const known = this.#models.get(model);
    if (known === undefined) this.#complain(`serves ${model}, which nobody asked for`);
    else if (known.text !== text) {
      this.#complain(`serves ${model}, but says ${JSON.stringify(text)}, not ${known.text}`);
    }
    if (model === this.#served) return;
    this.changes++;
    const askedAt = this.#asked.indexOf(model, this.#adoptedAt + 1);
    if (askedAt >= 0) this.#adoptedAt = askedAt;
    else if (model !== this.#before) this.#complain(`serves ${model} without being asked`);
    this.#before = this.#served;
    this.#served = model;
  }

  #complain(what: string): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#timeline.violate(`${this.#agent.name} ${what}`);
  }
}
