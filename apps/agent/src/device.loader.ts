import type { PackingProgress } from '@entrofleet/artifact';
import type { Target } from '@entrofleet/protocol';
import { AheadLoad } from './ahead.load.ts';
import { readMemory } from './capabilities.ts';
import type { ChunkStore } from './chunk.store.ts';
import type { AgentConfig } from './config.ts';
import { type LoadedModel, type LoadTarget, loadArtifact } from './loaded.model.ts';
import type { Log } from './log.ts';
import { assertFits, modelBudgetBytes } from './memory.fit.ts';
import type { PartialArtifact } from './partial.artifact.ts';

/** Loads models into the memory that this device has left at the moment. */
export class DeviceLoader {
  readonly #config: AgentConfig;
  readonly #store: ChunkStore;
  readonly #log: Log;
  readonly #onServed: LoadTarget['onServed'];
  readonly #ahead: AheadLoad<LoadedModel>;

  constructor(use: {
    readonly config: AgentConfig;
    readonly store: ChunkStore;
    readonly log: Log;
    readonly onServed?: LoadTarget['onServed'];
  }) {
    this.#config = use.config;
    this.#store = use.store;
    this.#log = use.log;
    this.#onServed = use.onServed;
    this.#ahead = new AheadLoad(use.log);
  }

  /** @throws AgentError `DoesNotFit` */
  assertFits(target: Target): void {
    assertFits(target, this.#availableBytes());
  }

  /**
   * Loads a model beside the one that serves, or takes over what was loaded ahead of it.
   * @throws AgentError `DoesNotFit`, and what {@link loadArtifact} throws.
   */
  async load(target: Target, signal: AbortSignal): Promise<LoadedModel> {
    const ahead = await this.#ahead.take(target, signal);
    if (ahead !== null) return this.#explained(ahead);
    this.assertFits(target);
    return this.restore(target, signal);
  }

  /** Loads a model that has run here before. */
  async restore(target: Target, signal: AbortSignal): Promise<LoadedModel> {
    const path = this.#store.path(target.artifact.id);
    return this.#explained(await loadArtifact(this.#loadOf(target, { path, signal })));
  }

  /** Loads a model while its artifact is being fetched, where memory allows it. */
  loadAhead(target: Target, { path, arrivals, ref }: PartialArtifact): void {
    let packedEarly = 0;
    const name = `${target.model} ${target.variant}`;
    const onPacked = ({ matricesPacked, matricesTotal }: PackingProgress) => {
      if (arrivals.has({ first: 0, end: ref.chunkCount })) return;
      packedEarly = matricesPacked;
      this.#log.debug(`${matricesPacked} of ${matricesTotal} matrices of ${name} are packed`);
    };
    this.#ahead.begin(target, async (signal) => {
      const load = this.#loadOf(target, { path, signal });
      const model = await loadArtifact({ ...load, arriving: { arrivals, onPacked } });
      this.#log.info(`${packedEarly} matrices of ${name} were packed before its last chunk came`);
      return model;
    });
  }

  /** Resolves when nothing of what was loaded ahead is left in memory. */
  forgetAhead(): Promise<void> {
    return this.#ahead.drop();
  }

  #availableBytes(): number | null {
    return readMemory({ root: '/', budgetBytes: this.#config.memoryBudgetBytes }).availableBytes;
  }

  #loadOf(target: Target, use: { path: string; signal: AbortSignal }): LoadTarget {
    const { threads, httpConcurrency: sequences, keyValueBytes } = this.#config;
    const budgetBytes = modelBudgetBytes(this.#availableBytes());
    const limits = { sequences, keyValueBytes };
    return { target, threads, limits, budgetBytes, onServed: this.#onServed, ...use };
  }

  #explained(model: LoadedModel): LoadedModel {
    const { target, language } = model;
    const residency = language.residency?.explanation;
    if (residency !== undefined) {
      this.#log.info(`${target.model} ${target.variant} holds ${residency}`);
    }
    return model;
  }
}
