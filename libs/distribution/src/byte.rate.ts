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
    this.#refill(nowMs);
    if (this.#availableBytes > 0) return 0;
    return Math.ceil((-this.#availableBytes * 1000) / this.#bytesPerSecond) + 1;
  }

  /** @param bytes less than nothing gives back what was not needed. */
  spend(bytes: number): void {
    if (this.#bytesPerSecond !== 0) this.#availableBytes -= bytes;
  }

  /** Nothing is owed, and a whole burst may go. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#availableBytes >= this.#bytesPerSecond;
  }

  #refill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    const refilled = this.#availableBytes + (passedMs * this.#bytesPerSecond) / 1000;
    this.#availableBytes = Math.min(this.#bytesPerSecond, refilled);
  }
}
