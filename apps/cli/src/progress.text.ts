import { durationText, sizeText } from './size.text.ts';

export interface ProgressState {
  readonly label: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly elapsedSeconds: number;
  /** What is counted when it is not bytes, e.g. `rows`. */
  readonly unit?: string;
}

const BAR_WIDTH = 24;

/** One line: label, bar, share, rate and time left; the last two once they can be told. */
export function progressText(state: ProgressState): string {
  const { label, doneBytes, totalBytes, elapsedSeconds } = state;
  const share = totalBytes > 0 ? Math.min(1, doneBytes / totalBytes) : 1;
  const full = Math.round(share * BAR_WIDTH);
  const bar = '#'.repeat(full).padEnd(BAR_WIDTH, '.');
  const head = `${label.padEnd(8)} [${bar}] ${String(Math.floor(share * 100)).padStart(3)} %`;
  if (elapsedSeconds <= 0 || doneBytes <= 0) return head;
  const perSecond = doneBytes / elapsedSeconds;
  const left = durationText((totalBytes - doneBytes) / perSecond);
  const rate = state.unit ? `${perSecond.toFixed(1)} ${state.unit}` : sizeText(perSecond);
  return `${head}  ${rate}/s  ${left} left`;
}
