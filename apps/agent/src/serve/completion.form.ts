import {
  type AnswerForm,
  type AnswerIdentity,
  type ScoredToken,
  type TextDelta,
  usageFields,
} from './answer.form.ts';
import type { TokenText } from './served.model.ts';

/** The wording of `POST /v1/completions`. */
export function completionForm(use: {
  readonly identity: AnswerIdentity;
  readonly describeToken: (token: number) => TokenText;
  /** Whether every chunk has a field `usage`. */
  readonly includeUsage: boolean;
}): AnswerForm {
  const { describeToken } = use;
  const head = { ...use.identity, object: 'text_completion' };
  const noUsage = use.includeUsage ? { usage: null } : {};
  const choice = ({ index, text, tokens, finishReason }: TextDelta): object => {
    const logprobs = tokens === null ? null : logprobFields(tokens, describeToken);
    return { text, index, logprobs, finish_reason: finishReason };
  };
  return {
    whole: (texts, usage) => ({ ...head, choices: texts.map(choice), usage: usageFields(usage) }),
    opening: () => null,
    chunk: (delta) => ({ ...head, choices: [choice(delta)], ...noUsage }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageFields(usage) }),
  };
}

/** Lists of equal length. */
function logprobFields(
  tokens: readonly ScoredToken[],
  describeToken: (token: number) => TokenText,
): object {
  return {
    tokens: tokens.map(({ tokenId }) => describeToken(tokenId).text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ tokenId, logprob, top }) => {
      if (logprob === null) return null;
      // The token itself is among its alternatives, as in OpenAI's answers.
      const all = [...top, { tokenId, logprob }];
      return Object.fromEntries(all.map((one) => [describeToken(one.tokenId).text, one.logprob]));
    }),
    text_offset: tokens.map(({ offset }) => offset),
  };
}
