/** A pause longer than this is not the link's: nobody has sent anything. */
const GAP_MAX_MS = 1000;
/** Fewer bytes come out of buffers on the way and tell nothing about the link. */
const BYTES_MIN = 256 * 1024;

/** Measures how fast a link is while something comes over it. */
export class LinkMeter {
  readonly #nowMs: () => number;
  #bytes = 0;
  #busyMs = 0;
  #lastMs: number | null = null;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** So many bytes have come since the last call; those before a gap are not counted. */
  arrived(bytes: number): void {
    const nowMs = this.#nowMs();
    const gapMs = this.#lastMs === null ? Number.POSITIVE_INFINITY : nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (gapMs > GAP_MAX_MS) return;
    this.#bytes += bytes;
    this.#busyMs += gapMs;
  }

  /** null: not enough has come to tell. */
  get bytesPerSecond(): number | null {
    if (this.#bytes < BYTES_MIN || this.#busyMs <= 0) return null;
    return Math.round((this.#bytes * 1000) / this.#busyMs);
  }
}
