/** Text of some tokens, special ones left out, with what a decoder makes of half a character. */
export type DecodeTokens = (tokens: readonly number[]) => string;

const REPLACEMENT = '\uFFFD';
/** A character has at most four bytes, so at most three tokens of it can be waiting. */
const SEED_TOKENS = 8;

/**
 * Turns tokens into text as they come. A character whose bytes come in several tokens is held
 * back until it is whole; a decoder that strips the space in front of a text does so only at the
 * very beginning, not at each token.
 *
 * Text is decoded over a short window whose first token has been shown already. The decoder gives
 * U+FFFD once for each maximal broken part (WHATWG encoding standard), so only the last one can
 * still become a character.
 */
export class TextStream {
  readonly #decode: DecodeTokens;
  readonly #isSpecial: (token: number) => boolean;
  #window: number[] = [];
  #shownLength = 0;

  /** @param before tokens the text continues, e.g. the prompt; they are not shown again. */
  constructor(options: {
    decode: DecodeTokens;
    isSpecial: (token: number) => boolean;
    before?: readonly number[];
  }) {
    this.#decode = options.decode;
    this.#isSpecial = options.isSpecial;
    for (const token of (options.before ?? []).slice(-SEED_TOKENS)) this.push(token);
  }

  /** @returns text that is now certain; empty while a character is incomplete. */
  push(token: number): string {
    if (this.#isSpecial(token)) return '';
    this.#window.push(token);
    const text = this.#decode(this.#window);
    const incomplete = text.endsWith(REPLACEMENT);
    const shown = text.slice(this.#shownLength, incomplete ? -1 : undefined);
    if (incomplete) {
      this.#shownLength += shown.length;
    } else {
      this.#window = [token];
      this.#shownLength = this.#decode(this.#window).length;
    }
    return shown;
  }

  /** @returns what was held back; a broken character is shown as U+FFFD. */
  flush(): string {
    const rest = this.#window.length === 0 ? '' : this.#decode(this.#window);
    const shown = rest.slice(this.#shownLength);
    this.#shownLength = rest.length;
    return shown;
  }
}
