import { type Listens, lanes, topics } from '@entrofleet/protocol';
import type { Bus, MessageHandler, Subscription } from './bus.ts';

export interface ChunkLanesOptions {
  readonly bus: Bus;
  readonly artifact: string;
  readonly device: string;
  readonly site: string | null;
  readonly onChunk: MessageHandler;
}

/**
 * Where a device hears the chunks of an artifact: on every lane at first. The lane on which a chunk
 * comes tells that a cap holds; wider lanes, where chunks come for others, are left then.
 */
export class ChunkLanes {
  readonly #options: ChunkLanesOptions;
  readonly #subscriptions = new Map<string, Subscription>();
  /** From the widest on. */
  #lanes: readonly { readonly lane: string; readonly listens: Listens }[];

  constructor(options: ChunkLanesOptions) {
    const { device, site } = options;
    this.#options = options;
    this.#lanes = [
      { lane: lanes.shared, listens: 'Any' },
      ...(site === null ? [] : [{ lane: lanes.site(site), listens: 'Site' } as const]),
      { lane: lanes.device(device), listens: 'Device' },
    ];
  }

  get listens(): Listens {
    return this.#lanes[0]?.listens ?? 'Device';
  }

  open(): void {
    const { bus, artifact, onChunk } = this.#options;
    for (const { lane } of this.#lanes) {
      this.#subscriptions.set(lane, bus.subscribe(topics.chunksOf(artifact, lane), onChunk));
    }
  }

  /** A chunk came on this lane. @returns whether wider ones have been left for it. */
  narrow(lane: string): boolean {
    const index = this.#lanes.findIndex((known) => known.lane === lane);
    if (index <= 0) return false;
    for (const wider of this.#lanes.slice(0, index)) this.#close(wider.lane);
    this.#lanes = this.#lanes.slice(index);
    return true;
  }

  close(): void {
    for (const { lane } of this.#lanes) this.#close(lane);
  }

  #close(lane: string): void {
    this.#subscriptions.get(lane)?.close();
    this.#subscriptions.delete(lane);
  }
}
