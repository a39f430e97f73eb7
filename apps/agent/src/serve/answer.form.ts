import type { FinishReason, TokenLogprob } from '@entrofleet/engine';

/** A token with its log-probability; the first one of a prompt has none. */
export interface ScoredToken {
  readonly tokenId: number;
  readonly logprob: number | null;
  readonly top: readonly TokenLogprob[];
  /** Characters of the text before it. */
  readonly offset: number;
}

/** What became certain of one text; `index` is its place among the choices. */
export interface TextDelta {
  readonly index: number;
  readonly text: string;
  /** Tokens since the last delta; null: log-probabilities were not asked for. */
  readonly tokens: readonly ScoredToken[] | null;
  /** null until the last delta. */
  readonly finishReason: FinishReason | null;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** How one endpoint words its answers, whole or in chunks. */
export interface AnswerForm {
  /** The whole answer from texts that are at their end, in order. */
  whole(texts: readonly TextDelta[], usage: Usage): object;
  /** A chunk that goes before those of a text, where the endpoint has one. */
  opening(index: number): object | null;
  chunk(delta: TextDelta): object;
  /** The chunk that goes last when usage was asked for. */
  usageChunk(usage: Usage): object;
}

/** `usage` of every answer. */
export function usageFields(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

/** Fields that are the same in an answer and in each of its chunks. */
export interface AnswerIdentity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}
