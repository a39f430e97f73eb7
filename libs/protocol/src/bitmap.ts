/**
 * A fixed-size set of chunk indices. Bit i of byte i>>3, least significant first, is index i;
 * bits past `length` are always zero.
 */
export class Bitmap {
  readonly #bytes: Uint8Array;
  readonly length: number;
  #count = 0;

  constructor(length: number) {
    this.length = length;
    this.#bytes = new Uint8Array((length + 7) >> 3);
  }

  /**
   * Reads a bitmap from its bytes.
   * @throws RangeError when the byte count does not fit `length` or a bit past it is set.
   */
  static fromBytes(bytes: Uint8Array, length: number): Bitmap {
    const bitmap = new Bitmap(length);
    if (bytes.length !== bitmap.#bytes.length) {
      throw new RangeError(`a bitmap of ${length} bits has ${bitmap.#bytes.length} bytes`);
    }
    const tailBits = length & 7;
    const last = bytes[bytes.length - 1] ?? 0;
    if (tailBits !== 0 && last >> tailBits !== 0) {
      throw new RangeError(`a bit past index ${length - 1} is set`);
    }
    bitmap.#bytes.set(bytes);
    for (let i = 0; i < length; i++) if (bitmap.has(i)) bitmap.#count++;
    return bitmap;
  }

  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  /** @returns true when the bit was not set before. */
  add(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (1 << (index & 7));
    this.#count++;
    return true;
  }

  /** @returns true when the bit was set before. */
  delete(index: number): boolean {
    if (!this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(1 << (index & 7));
    this.#count--;
    return true;
  }

  /** Indices that are set, ascending, from `start`. */
  *indices(start = 0): Generator<number> {
    for (let i = start; i < this.length; i++) if (this.has(i)) yield i;
  }

  /** The complement within `length`. */
  inverted(): Bitmap {
    const other = new Bitmap(this.length);
    for (let i = 0; i < this.length; i++) if (!this.has(i)) other.add(i);
    return other;
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }
}
