import { badDelta } from './delta.header.ts';

/** Any common run of twice that is found. */
const WINDOW_BYTES = 16;
/** A copy shorter than that costs more than it saves. */
const COPY_BYTES_MIN = 12;

/**
 * What to change in one header region to get another: runs to copy, literals between them. It costs
 * about what is new, so that a change of one tensor is a few hundred bytes however many there are.
 */
export function writePatch(base: Uint8Array, target: Uint8Array): Uint8Array {
  const index = indexOf(base);
  const ops: number[] = [];
  let done = 0;
  /** Where the base would go on if nothing but literals of equal length had been between. */
  let aligned = 0;
  const emit = (copy: Run): void => {
    pushVarint(ops, copy.target - done);
    for (const byte of target.subarray(done, copy.target)) ops.push(byte);
    pushVarint(ops, copy.length);
    pushVarint(ops, zigzag(copy.base - (aligned + copy.target - done)));
    done = copy.target + copy.length;
    aligned = copy.base + copy.length;
  };
  for (let at = 0; at < target.length; ) {
    const wanted = aligned + at - done;
    const run = bestRun(
      { base, target },
      { at, done, places: [wanted, nearest(index, target, at, wanted)] },
    );
    if (run === undefined) {
      at++;
      continue;
    }
    emit(run);
    at = done;
  }
  if (done < target.length) emit({ base: aligned, target: target.length, length: 0 });
  return Uint8Array.from(ops);
}

/**
 * @param patch of {@link writePatch}, or anything.
 * @throws ArtifactError `BadDelta` when it does not give exactly `sizeBytes`.
 */
export function applyPatch(
  base: Uint8Array,
  { patch, sizeBytes }: { readonly patch: Uint8Array; readonly sizeBytes: number },
): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(sizeBytes);
  const reader = new VarintReader(patch);
  let done = 0;
  let aligned = 0;
  while (done < sizeBytes) {
    const literal = reader.bytes(bounded(reader.next(), sizeBytes - done));
    target.set(literal, done);
    done += literal.length;
    const length = bounded(reader.next(), sizeBytes - done);
    const from = aligned + literal.length + unzigzag(reader.next());
    if (from < 0 || from + length > base.length) throw badDelta('its patch leaves the header');
    target.set(base.subarray(from, from + length), done);
    done += length;
    aligned = from + length;
    if (literal.length + length === 0) throw badDelta('its patch does not advance');
  }
  if (!reader.ended) throw badDelta('its patch goes on after the header');
  return target;
}

interface Run {
  readonly base: number;
  readonly target: number;
  readonly length: number;
}

/** Positions of each window of the base that begins at a multiple of its size, ascending. */
function indexOf(base: Uint8Array): Map<string, number[]> {
  const index = new Map<string, number[]>();
  for (let at = 0; at + WINDOW_BYTES <= base.length; at += WINDOW_BYTES) {
    const key = windowAt(base, at);
    const places = index.get(key);
    if (places === undefined) index.set(key, [at]);
    else places.push(at);
  }
  return index;
}

function windowAt(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, WINDOW_BYTES).toString('latin1');
}

/** Of several equal windows the one closest to where the base is expected to go on. */
function nearest(
  index: ReadonlyMap<string, readonly number[]>,
  target: Uint8Array,
  at: number,
  wanted: number,
): number | undefined {
  if (at + WINDOW_BYTES > target.length) return undefined;
  const places = index.get(windowAt(target, at)) ?? [];
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((places[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [places[low - 1], places[low]];
  if (before === undefined || after === undefined) return before ?? after;
  return wanted - before < after - wanted ? before : after;
}

function bestRun(
  { base, target }: { readonly base: Uint8Array; readonly target: Uint8Array },
  search: {
    readonly at: number;
    readonly done: number;
    readonly places: readonly (number | undefined)[];
  },
): Run | undefined {
  let best: Run | undefined;
  for (const place of search.places) {
    if (place === undefined || place < 0 || place >= base.length) continue;
    let length = 0;
    while (
      place + length < base.length &&
      search.at + length < target.length &&
      base[place + length] === target[search.at + length]
    ) {
      length++;
    }
    let back = 0;
    while (
      search.at - back > search.done &&
      place - back > 0 &&
      base[place - back - 1] === target[search.at - back - 1]
    ) {
      back++;
    }
    const run = { base: place - back, target: search.at - back, length: length + back };
    if (run.length >= COPY_BYTES_MIN && run.length > (best?.length ?? 0)) best = run;
  }
  return best;
}

const zigzag = (value: number) => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value: number) => (value % 2 === 1 ? -(value + 1) / 2 : value / 2);

/** Seven bits a byte, the lowest first; all but the last have the highest bit set. */
function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
}

function bounded(value: number, most: number): number {
  if (value <= most) return value;
  throw badDelta('its patch gives more than the header');
}

class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Below 2^35. @throws ArtifactError `BadDelta` */
  next(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 35; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw badDelta('its patch breaks off');
  }

  /** @throws ArtifactError `BadDelta` */
  bytes(count: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    if (bytes.length < count) throw badDelta('its patch breaks off');
    this.#at += count;
    return bytes;
  }
}
