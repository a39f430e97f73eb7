import { type ProgressState, progressText } from './progress.text.ts';

const REDRAW_MS = 100;
const PLAIN_STEP = 0.1;

/** Progress on stderr: one line drawn again and again on a terminal, else a line every tenth. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #startMs = performance.now();
  #drawnMs = Number.NEGATIVE_INFINITY;
  #nextShare = PLAIN_STEP;
  #isDrawn = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  update(progress: Omit<ProgressState, 'elapsedSeconds'>): void {
    const nowMs = performance.now();
    const text = progressText({ ...progress, elapsedSeconds: (nowMs - this.#startMs) / 1000 });
    const share = progress.doneBytes / progress.totalBytes;
    if (this.#stream.isTTY) {
      if (nowMs - this.#drawnMs < REDRAW_MS && share < 1) return;
      this.#drawnMs = nowMs;
      this.#isDrawn = true;
      this.#stream.write(`\r${text}\u001b[K`);
    } else if (share >= this.#nextShare) {
      this.#nextShare = (Math.floor(share / PLAIN_STEP + 1e-9) + 1) * PLAIN_STEP;
      this.#stream.write(`${text}\n`);
    }
  }

  /** Leaves the terminal clean for what is printed next. */
  end(): void {
    if (this.#isDrawn) this.#stream.write('\r\u001b[K');
    this.#isDrawn = false;
  }
}
