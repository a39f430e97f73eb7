import { sizeText } from './size.text.ts';

/** From the start of the process: opening, loading, prefill of a cold model, choice of a token. */
export interface FirstTokenFigures {
  readonly promptTokens: number;
  readonly prefillMs: number;
  readonly sinceStartMs: number;
}

export interface PrefillFigures {
  readonly tokens: number;
  /** Of each repetition. */
  readonly tokensPerSecond: readonly number[];
}

export interface DecodeFigures {
  /** Of a repetition. */
  readonly tokens: number;
  /** The time of each token of each repetition. */
  readonly repetitionsMs: readonly (readonly number[])[];
}

/** What `bench` measures. */
export interface BenchFigures {
  readonly path: string;
  readonly threads: number;
  readonly isa: string;
  readonly loadMs: number;
  readonly weightBytes: number;
  readonly bytesPerToken: number;
  /** How an artifact's matrices are held, in a line; null where they are held as they come. */
  readonly residency: string | null;
  readonly firstToken: FirstTokenFigures;
  readonly prefill: readonly PrefillFigures[];
  readonly decode: DecodeFigures;
  readonly peakRssBytes: number;
}

/** What `bench --json` prints: medians over repetitions, with least and greatest. */
export interface BenchSummary extends Omit<BenchFigures, 'prefill' | 'decode'> {
  readonly prefill: readonly { readonly tokens: number; readonly tokensPerSecond: Spread }[];
  readonly decode?: {
    readonly tokens: number;
    readonly tokensPerSecond: Spread;
    /** Of weights. */
    readonly gigabytesPerSecond: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
  };
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** The smallest value that at least `share` of all values do not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function benchSummary(figures: BenchFigures): BenchSummary {
  const { prefill, decode, ...rest } = figures;
  const timed = prefill.filter(({ tokensPerSecond }) => tokensPerSecond.length > 0);
  const summary = {
    ...rest,
    prefill: timed.map(({ tokens, tokensPerSecond }) => {
      return { tokens, tokensPerSecond: spread(tokensPerSecond) };
    }),
  };
  if (decode.repetitionsMs.length === 0) return summary;
  const times = decode.repetitionsMs.flat();
  const tokensPerSecond = spread(
    decode.repetitionsMs.map((timesMs) => (timesMs.length * 1000) / sum(timesMs)),
  );
  return {
    ...summary,
    decode: {
      tokens: decode.tokens,
      tokensPerSecond,
      gigabytesPerSecond: (tokensPerSecond.median * figures.bytesPerToken) / 1e9,
      p50Ms: percentile(times, 0.5),
      p95Ms: percentile(times, 0.95),
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function spread(values: readonly number[]): Spread {
  return {
    median: percentile(values, 0.5),
    least: Math.min(...values),
    greatest: Math.max(...values),
  };
}

export function benchText(summary: BenchSummary): string {
  const { decode, firstToken } = summary;
  const lines = [
    `model        ${summary.path} (${sizeText(summary.weightBytes)} of weights)`,
    `threads      ${summary.threads}, ${summary.isa}`,
    ...(summary.residency === null ? [] : [`held as      ${summary.residency}`]),
    `load         ${summary.loadMs.toFixed(0)} ms`,
    `first token  ${firstToken.sinceStartMs.toFixed(0)} ms after the start, of them ` +
      `${firstToken.prefillMs.toFixed(0)} ms for ${firstToken.promptTokens} tokens of prompt`,
    ...summary.prefill.map(
      ({ tokens, tokensPerSecond }) =>
        `prefill ${String(tokens).padEnd(4)} ${spreadText(tokensPerSecond)} tokens/s`,
    ),
  ];
  if (decode !== undefined) {
    lines.push(
      `decode ${String(decode.tokens).padEnd(5)} ${spreadText(decode.tokensPerSecond)} tokens/s, ` +
        `p50 ${decode.p50Ms.toFixed(2)} ms, p95 ${decode.p95Ms.toFixed(2)} ms, ` +
        `${decode.gigabytesPerSecond.toFixed(1)} GB/s`,
    );
  }
  return [...lines, `peak RSS     ${sizeText(summary.peakRssBytes)}`, ''].join('\n');
}

function spreadText({ median, least, greatest }: Spread): string {
  if (least === greatest) return median.toFixed(1);
  return `${median.toFixed(1)} (${least.toFixed(1)}-${greatest.toFixed(1)})`;
}
