/** A token bucket: on average so many bytes in a second, at most one second's worth at once. */
export class ByteRate {
  readonly #bytesPerSecond: number;
  #availableBytes: number;
  #atMs: number | undefined;

  /** @param bytesPerSecond 0: no limit. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#availableBytes = bytesPerSecond;
  }

  /** How long to wait before the next bytes may go; what goes may overdraw the bucket once. */
  waitMs(nowMs: number): number {
    if (this.#bytesPerSecond === 0) return 0;
    const passedMs = nowMs - (this.#atMs ?? nowMs);
    this.#atMs = nowMs;
    const refilled = this.#availableBytes + (passedMs * this.#bytesPerSecond) / 1000;
    this.#availableBytes = Math.min(this.#bytesPerSecond, refilled);
    if (this.#availableBytes > 0) return 0;
    return Math.ceil((-this.#availableBytes * 1000) / this.#bytesPerSecond) + 1;
  }

  spend(bytes: number): void {
    if (this.#bytesPerSecond !== 0) this.#availableBytes -= bytes;
  }
}
