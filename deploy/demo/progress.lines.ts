/** Where lines go; `process.stdout` is one. */
interface Output {
  readonly isTTY?: boolean;
  write(text: string): boolean;
}

const ERASE_LINE = '\r\u001b[2K';

/**
 * Progress for people and for logs: on a terminal one line that changes in place, elsewhere a plain
 * line whenever something other than a number has changed.
 */
export class ProgressLines {
  readonly #output: Output;
  #shown = '';

  constructor(output: Output = process.stdout) {
    this.#output = output;
  }

  /** A line that stays. */
  say(text = ''): void {
    this.#clear();
    this.#output.write(`${text}\n`);
  }

  /** The current state of what goes on. */
  show(text: string): void {
    if (this.#output.isTTY === true) {
      if (text !== this.#shown) this.#output.write(`${ERASE_LINE}${text.slice(0, 150)}`);
      this.#shown = text;
      return;
    }
    const withoutNumbers = text.replace(/\d+ %/g, '');
    if (withoutNumbers === this.#shown) return;
    this.#shown = withoutNumbers;
    this.#output.write(`${text}\n`);
  }

  #clear(): void {
    if (this.#output.isTTY === true && this.#shown !== '') this.#output.write(ERASE_LINE);
    this.#shown = '';
  }
}
