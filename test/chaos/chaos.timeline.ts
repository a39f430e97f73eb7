/** What happened when, and what should not have: every line is seconds since the start. */
export class ChaosTimeline {
  readonly lines: string[] = [];
  readonly violations: string[] = [];
  readonly #startMs = performance.now();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  note(text: string): void {
    const line = `${(this.elapsedMs / 1000).toFixed(1).padStart(6)} ${text}`;
    this.lines.push(line);
    this.#print(line);
  }

  /** Something that must never be, whatever has happened. */
  violate(text: string): void {
    this.violations.push(text);
    this.note(`VIOLATED: ${text}`);
  }
}
