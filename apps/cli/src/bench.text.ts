import { sizeText } from './size.text.ts';

/** What `bench` measures; times in milliseconds, speeds in tokens per second. */
export interface BenchFigures {
  readonly path: string;
  readonly threads: number;
  readonly isa: string;
  readonly loadMs: number;
  readonly weightBytes: number;
  readonly prefill: readonly { readonly tokens: number; readonly tokensPerSecond: number }[];
  readonly decode: {
    readonly tokens: number;
    readonly tokensPerSecond: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
  };
  readonly peakRssBytes: number;
}

/** The smallest value that at least `share` of all values do not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function benchText(figures: BenchFigures): string {
  const { decode } = figures;
  return [
    `model        ${figures.path} (${sizeText(figures.weightBytes)} of weights)`,
    `threads      ${figures.threads}, ${figures.isa}`,
    `load         ${figures.loadMs.toFixed(0)} ms`,
    ...figures.prefill.map(
      ({ tokens, tokensPerSecond }) =>
        `prefill ${String(tokens).padEnd(4)} ${tokensPerSecond.toFixed(1)} tokens/s`,
    ),
    `decode ${String(decode.tokens).padEnd(5)} ${decode.tokensPerSecond.toFixed(1)} tokens/s, ` +
      `p50 ${decode.p50Ms.toFixed(2)} ms, p95 ${decode.p95Ms.toFixed(2)} ms`,
    `peak RSS     ${sizeText(figures.peakRssBytes)}`,
    '',
  ].join('\n');
}
