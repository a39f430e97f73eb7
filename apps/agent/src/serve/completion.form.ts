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
  const offsets = new Map<number, number>();
  const choice = ({ index, text, tokens, finishReason }: TextDelta): object => {
    const offset = offsets.get(index) ?? 0;
    const logprobs = tokens === null ? null : logprobFields(tokens, { offset, describeToken });
    if (logprobs !== null) offsets.set(index, logprobs.end);
    return { text, index, logprobs: logprobs?.fields ?? null, finish_reason: finishReason };
  };
  return {
    whole: (texts, usage) => ({ ...head, choices: texts.map(choice), usage: usageFields(usage) }),
    opening: () => null,
    chunk: (delta) => ({ ...head, choices: [choice(delta)], ...noUsage }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageFields(usage) }),
  };
}

interface LogprobFields {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

/** Lists of equal length; offsets count characters from the text's beginning. */
function logprobFields(
  tokens: readonly ScoredToken[],
  use: { offset: number; describeToken: (token: number) => TokenText },
): { fields: LogprobFields; end: number } {
  const fields: LogprobFields = {
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  };
  let end = use.offset;
  for (const { tokenId, logprob, top } of tokens) {
    const { text } = use.describeToken(tokenId);
    fields.tokens.push(text);
    fields.token_logprobs.push(logprob);
    // The token itself is among its alternatives, as in OpenAI's answers.
    const all = logprob === null ? [] : [...top, { tokenId, logprob }];
    const entries = all.map((one) => [use.describeToken(one.tokenId).text, one.logprob] as const);
    fields.top_logprobs.push(logprob === null ? null : Object.fromEntries(entries));
    fields.text_offset.push(end);
    end += text.length;
  }
  return { fields, end };
}
