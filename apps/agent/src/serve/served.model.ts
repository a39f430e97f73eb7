import type { Target } from '@entrofleet/protocol';

export interface GenerationRequest {
  /** Text, or token ids. */
  readonly prompt: string | readonly number[];
  readonly maxTokens: number;
  /** 0: always the likeliest token. */
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly signal: AbortSignal;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Pieces of text as they come, then one end. */
export type GenerationPiece =
  | { readonly kind: 'Text'; readonly text: string }
  | { readonly kind: 'End'; readonly finishReason: 'stop' | 'length'; readonly usage: Usage };

/** A model in memory that answers requests. */
export interface ServedModel {
  /** What it is known as; the same artifact may be wanted under another name later. */
  target: Target;
  readonly contextLength: number;
  /** @throws an error with reason `ContextExceeded` when the prompt does not fit. */
  generate(request: GenerationRequest): AsyncIterable<GenerationPiece>;
  /** Frees its memory. Nothing may be running on it. */
  close(): void;
}

/** How the API names a model, e.g. `stories15m:u8`. */
export function servedName(target: Target): string {
  return `${target.model}:${target.variant}`;
}
