/** Where a device fetches from: its site's relay, or the main broker itself. */
export type Side = 'Relay' | 'Main';

/** Chunks that verify to something else, with none good between them. */
const CORRUPT_MAX = 3;
/** A relay that is there but hands out nothing is waited for so many times longer. */
const MUTE_PATIENCES = 6;
const DISTRUST_MS = 600_000;

/**
 * Decides from whom to fetch. Whoever hands them out, chunks are verified here, so a bad relay costs
 * time and nothing else: this decides how much.
 */
export class RelayChoice {
  readonly #patienceMs: number;
  #isReachable = false;
  /** Since when the relay cannot be reached, or chunks have last come through it. */
  #sinceMs: number;
  /** When it was first asked for what it has not handed out since. */
  #askedMs: number | undefined;
  #corrupt = 0;
  #distrustedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly patienceMs: number; readonly nowMs: number }) {
    this.#patienceMs = options.patienceMs;
    this.#sinceMs = options.nowMs;
  }

  /** The relay's broker and the relay's presence there say that it can be asked, or cannot. */
  reach(isReachable: boolean, nowMs: number): void {
    if (isReachable === this.#isReachable) return;
    this.#isReachable = isReachable;
    this.#sinceMs = nowMs;
    // It was asked in vain while it was away, which says nothing about it now.
    this.#askedMs = undefined;
  }

  /** A download begins: what came before says nothing about it. */
  begin(): void {
    this.#askedMs = undefined;
  }

  /** The relay is asked for chunks. */
  ask(nowMs: number): void {
    this.#askedMs ??= nowMs;
  }

  /** A chunk has come through the relay. */
  judge(verdict: string, nowMs: number): void {
    if (verdict === 'Stored') {
      this.#sinceMs = nowMs;
      this.#askedMs = undefined;
      this.#corrupt = 0;
    }
    if (verdict === 'Corrupt' && ++this.#corrupt >= CORRUPT_MAX) this.#distrust(nowMs);
  }

  side(nowMs: number): Side {
    if (nowMs < this.#distrustedUntilMs) return 'Main';
    if (!this.#isReachable) return nowMs - this.#sinceMs > this.#patienceMs ? 'Main' : 'Relay';
    const muteMs = nowMs - (this.#askedMs ?? nowMs);
    if (muteMs <= MUTE_PATIENCES * this.#patienceMs) return 'Relay';
    this.#distrust(nowMs);
    return 'Main';
  }

  #distrust(nowMs: number): void {
    this.#distrustedUntilMs = nowMs + DISTRUST_MS;
    this.#corrupt = 0;
    this.#askedMs = undefined;
  }
}
