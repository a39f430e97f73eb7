/** What `codec_bench measure` prints (libs/native/bench/codec_bench.cc). */
export interface CodecMeasurement {
  readonly isa: string;
  /** Per symbol; symbols of 4 bits are coded in pairs. */
  readonly bits: 8 | 4;
  readonly tensors: number;
  /** Decoded bytes: a symbol of 8 bits or a pair each. */
  readonly bytes: number;
  /** Order-0 entropy per symbol, a table per tensor. */
  readonly entropyBits: number;
  readonly zstdFrameBytes: number;
  readonly codedBytes: Readonly<Record<string, number>>;
  readonly samples: readonly {
    readonly codec: string;
    readonly work: 'encode' | 'decode';
    readonly threads: number;
    /** Decoded bytes that the work was about. */
    readonly bytes: number;
    /** One entry per round; round i of all codecs ran within the same second or so. */
    readonly seconds: readonly number[];
  }[];
}

/** A median over the rounds, and the least and greatest of them. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export interface CodecRow {
  readonly codec: string;
  /** Of the whole file for our codecs; of the frames alone for zstd. */
  readonly bitsPerSymbol: number;
  readonly sizeOverEntropy: number;
  readonly encode: readonly SpeedRow[];
  readonly decode: readonly SpeedRow[];
}

export interface SpeedRow {
  readonly threads: number;
  readonly gigabytesPerSecond: Spread;
  /** Speed over that of memcpy and of zstd -1, round by round; absent where there is no peer. */
  readonly overMemcpy?: Spread;
  readonly overZstd?: Spread;
}

const OWN_CODECS: ReadonlySet<string> = new Set(['huffman', 'lanes']);
const PEER = 'zstd -1';

/**
 * Turns seconds into speeds and ratios.
 * @param overheadBits per symbol: what the artifact file holds besides our codec's segments.
 */
export function codecRows(measurement: CodecMeasurement, overheadBits: number): CodecRow[] {
  const symbols = (measurement.bytes * 8) / measurement.bits;
  return Object.entries(measurement.codedBytes)
    .filter(([codec]) => codec !== 'memcpy')
    .map(([codec, codedBytes]) => {
      const overhead = OWN_CODECS.has(codec) ? overheadBits : 0;
      const bitsPerSymbol = (codedBytes * 8) / symbols + overhead;
      return {
        codec,
        bitsPerSymbol,
        sizeOverEntropy: bitsPerSymbol / measurement.entropyBits,
        encode: speedRows(measurement, codec, 'encode'),
        decode: speedRows(measurement, codec, 'decode'),
      };
    });
}

/** The speeds of the memory copy that decoders are compared with. */
export function memcpyRows(measurement: CodecMeasurement): SpeedRow[] {
  return speedRows(measurement, 'memcpy', 'decode');
}

function speedRows(
  measurement: CodecMeasurement,
  codec: string,
  work: 'encode' | 'decode',
): SpeedRow[] {
  return measurement.samples
    .filter((sample) => sample.codec === codec && sample.work === work)
    .map(({ threads, ...own }) => {
      const speeds = speedsOf(own);
      const over = (peer: string) => {
        const found = measurement.samples.find(
          (other) => other.codec === peer && other.work === work && other.threads === threads,
        );
        if (found === undefined || peer === codec) return undefined;
        const theirs = speedsOf(found);
        return spread(speeds.map((speed, round) => speed / (theirs[round] ?? Number.NaN)));
      };
      const overMemcpy = over('memcpy');
      const overZstd = over(PEER);
      return {
        threads,
        gigabytesPerSecond: spread(speeds),
        ...(overMemcpy === undefined ? {} : { overMemcpy }),
        ...(overZstd === undefined ? {} : { overZstd }),
      };
    });
}

function speedsOf(sample: { bytes: number; seconds: readonly number[] }): number[] {
  return sample.seconds.map((seconds) => sample.bytes / seconds / 1e9);
}

/** @param values at least one. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return {
    median: (lower + upper) / 2,
    least: sorted[0] ?? Number.NaN,
    greatest: sorted.at(-1) ?? Number.NaN,
  };
}
