import type {
  BatchRequest,
  BatchStatistics,
  ChatMessage,
  GeneratedPiece,
} from '@entrofleet/engine';
import type { Target } from '@entrofleet/protocol';

/** A model in memory, whatever it is used for. */
export interface HeldModel {
  /** What it is known as; the same artifact may be wanted under another name later. */
  target: Target;
  /** Frees its memory. Nothing may be running on it. */
  close(): void;
}

/** A token by itself, as the API shows it. */
export interface TokenText {
  readonly text: string;
  /** Its UTF-8 bytes; null for a special token, and for a part of a character. */
  readonly bytes: readonly number[] | null;
  /** Whether a text that it stands in shows it; special tokens are not shown. */
  readonly isShown: boolean;
}

export interface ServingFigures {
  /** Unix time at which it could run, in seconds. */
  readonly loadedAt: number;
  /** From opening the file to a model that can run. */
  readonly loadSeconds: number;
  readonly weightBytes: number;
}

/** A model in memory that answers requests. */
export interface ServedModel extends HeldModel {
  /** Prompt and completion together, in tokens. */
  readonly contextLength: number;
  readonly figures: ServingFigures;
  /** What its running requests take at the moment. */
  readonly statistics: BatchStatistics;
  /** Token ids of a text, with the tokens the model expects around one. */
  encode(text: string): number[];
  /**
   * Token ids of a chat, up to where the assistant's answer begins.
   * @throws an error with reason `NoChatTemplate` or `BadMessages`.
   */
  encodeChat(messages: readonly ChatMessage[]): number[];
  decode(tokens: readonly number[]): string;
  describeToken(token: number): TokenText;
  /** Runs together with all other requests. @throws EngineError. */
  generate(request: BatchRequest): AsyncIterable<GeneratedPiece>;
}

/** How the API names a model, e.g. `stories15m:u8`. */
export function servedName(target: Target): string {
  return `${target.model}:${target.variant}`;
}
