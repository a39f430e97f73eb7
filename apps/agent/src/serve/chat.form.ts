import {
  type AnswerForm,
  type AnswerIdentity,
  type ScoredToken,
  type TextDelta,
  usageFields,
} from './answer.form.ts';
import type { TokenText } from './served.model.ts';

/** The wording of `POST /v1/chat/completions`. */
export function chatForm(use: {
  readonly identity: AnswerIdentity;
  readonly describeToken: (token: number) => TokenText;
  /** Whether every chunk has a field `usage`. */
  readonly includeUsage: boolean;
}): AnswerForm {
  const { describeToken, identity } = use;
  const head = { ...identity, object: 'chat.completion.chunk' };
  const noUsage = use.includeUsage ? { usage: null } : {};
  const logprobs = (tokens: TextDelta['tokens']): object | null => {
    if (tokens === null) return null;
    return { content: tokens.map((token) => logprobFields(token, describeToken)), refusal: null };
  };
  const chunk = (choice: object): object => ({ ...head, choices: [choice], ...noUsage });
  return {
    whole: (texts, usage) => ({
      ...identity,
      object: 'chat.completion',
      choices: texts.map(({ index, text, tokens, finishReason }) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: logprobs(tokens),
        finish_reason: finishReason,
      })),
      usage: usageFields(usage),
    }),
    opening: (index) => {
      const delta = { role: 'assistant', content: '', refusal: null };
      return chunk({ index, delta, logprobs: null, finish_reason: null });
    },
    chunk: ({ index, text, tokens, finishReason }) => {
      const delta = text === '' ? {} : { content: text };
      return chunk({ index, delta, logprobs: logprobs(tokens), finish_reason: finishReason });
    },
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageFields(usage) }),
  };
}

function logprobFields(
  token: ScoredToken,
  describeToken: (token: number) => TokenText,
): Record<string, unknown> {
  const entry = (one: Pick<ScoredToken, 'tokenId' | 'logprob'>) => {
    const { text, bytes } = describeToken(one.tokenId);
    return { token: text, logprob: one.logprob, bytes };
  };
  return { ...entry(token), top_logprobs: token.top.map((one) => entry(one)) };
}
