import type { ScoredToken } from './answer.form.ts';
import type { ServedModel } from './served.model.ts';

type Unplaced = Omit<ScoredToken, 'offset'>;

/** Tells where each token of an answer stands in its text. */
export class TokenPlaces {
  readonly #model: Pick<ServedModel, 'describeToken'>;
  readonly #promptLength: number;
  #end: number;

  /** @param echo what the answer begins with. */
  constructor(model: Pick<ServedModel, 'describeToken'>, echo: string) {
    this.#model = model;
    this.#promptLength = echo.length;
    this.#end = echo.length;
  }

  /**
   * Counted from the prompt's end, since tokenizers put something before its beginning: a special
   * token, or a space.
   */
  ofPrompt(tokens: readonly Unplaced[]): ScoredToken[] {
    let begin = this.#promptLength;
    return tokens
      .toReversed()
      .map((token) => {
        begin = Math.max(0, begin - this.#lengthOf(token));
        return { ...token, offset: begin };
      })
      .reverse();
  }

  ofNext(token: Unplaced): ScoredToken {
    const offset = this.#end;
    this.#end += this.#lengthOf(token);
    return { ...token, offset };
  }

  #lengthOf({ tokenId }: Unplaced): number {
    const { text, isShown } = this.#model.describeToken(tokenId);
    return isShown ? text.length : 0;
  }
}
