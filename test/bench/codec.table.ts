import type { CodecRow, SpeedRow, Spread } from './codec.measurement.ts';

export interface CaseResult {
  readonly name: string;
  readonly isa: string;
  readonly bits: 8 | 4;
  readonly entropyBits: number;
  readonly decodedBytes: number;
  readonly memcpy: readonly SpeedRow[];
  readonly rows: readonly CodecRow[];
}

const COLUMNS = [
  ['codec', 10],
  ['bits/sym', 9],
  ['/entropy', 10],
  ['encode GB/s', 15],
  ['/zstd -1', 20],
  ['decode GB/s', 14],
  ['/memcpy', 20],
  ['/zstd -1', 20],
] as const;

export const LEGEND =
  'Two figures: 1 and 2 threads; medians, with least and greatest of the rounds for ratios at 1 ' +
  'thread, whose speeds are per second of CPU time. bits/sym of our codecs is of the whole artifact ' +
  'file, whose part beside the segments is taken from the Huffman file for lanes, too. *: below the entropy of single symbols, so zstd has found repeated strings there and is no ' +
  'peer for an entropy coder.';

/** One line per codec. */
export function caseTable(result: CaseResult): string {
  const copy = join(result.memcpy, ({ gigabytesPerSecond }) => fixed(gigabytesPerSecond.median));
  const perByte = result.bits === 4 ? ', a byte is a pair of symbols' : '';
  const title =
    `${result.name} on ${result.isa}: entropy ${result.entropyBits.toFixed(3)} bits, ` +
    `${Math.round(result.decodedBytes / 1e6)} MB${perByte}; memcpy ${copy} GB/s`;
  const heads = COLUMNS.map(([head, width]) => head.padStart(width)).join('');
  return [title, heads, ...result.rows.map(line)].join('\n');
}

function line(row: CodecRow): string {
  const cells = [
    row.codec,
    row.bitsPerSymbol.toFixed(4),
    `${row.sizeOverEntropy.toFixed(4)}${row.sizeOverEntropy < 1 ? '*' : ' '}`,
    join(row.encode, ({ gigabytesPerSecond }) => fixed(gigabytesPerSecond.median)),
    ratio(row.encode[0]?.overZstd),
    join(row.decode, ({ gigabytesPerSecond }) => fixed(gigabytesPerSecond.median)),
    ratio(row.decode[0]?.overMemcpy),
    ratio(row.decode[0]?.overZstd),
  ];
  return COLUMNS.map(([, width], i) => (cells[i] ?? '').padStart(width)).join('');
}

function join(rows: readonly SpeedRow[], text: (row: SpeedRow) => string): string {
  return rows.map(text).join(' ');
}

function ratio(spread: Spread | undefined): string {
  if (spread === undefined) return '-';
  return `${fixed(spread.median)} (${fixed(spread.least)}-${fixed(spread.greatest)})`;
}

function fixed(value: number): string {
  return value.toFixed(value < 0.1 ? 3 : 2);
}
