import type { EncodeProgress } from './encode.types.ts';

type Phase = EncodeProgress['phase'];

/** Share of all work that each phase takes, about as measured on stories15M. */
const SHARES: Readonly<Record<'affine' | 'rate' | 'quality', Readonly<Record<Phase, number>>>> = {
  affine: { measure: 0, encode: 0.95, write: 0.05 },
  rate: { measure: 0.5, encode: 0.45, write: 0.05 },
  quality: { measure: 0.5, encode: 0.45, write: 0.05 },
};

/** Turns progress within phases into one measure of work that only grows. */
export class ProgressMeter {
  readonly #shares: Readonly<Record<Phase, number>>;
  readonly #totalBytes: number;
  readonly #report: ((progress: EncodeProgress) => void) | undefined;
  #doneBytes = 0;

  constructor(options: {
    recipe: 'affine' | 'rate' | 'quality';
    totalBytes: number;
    report: ((progress: EncodeProgress) => void) | undefined;
  }) {
    this.#shares = SHARES[options.recipe];
    this.#totalBytes = options.totalBytes;
    this.#report = options.report;
  }

  /** @param fraction of this phase that is done, 0 to 1. */
  advance(phase: Phase, fraction: number, tensor: string | null): void {
    const { measure, encode, write } = this.#shares;
    const before = { measure: 0, encode: measure, write: measure + encode }[phase];
    const share = { measure, encode, write }[phase];
    const doneBytes = Math.round((before + share * fraction) * this.#totalBytes);
    this.#doneBytes = Math.max(this.#doneBytes, Math.min(doneBytes, this.#totalBytes));
    this.#report?.({
      phase,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      tensor,
    });
  }
}
