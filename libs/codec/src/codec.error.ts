export type CodecReason = 'BadCodeTable' | 'CorruptSegment' | 'BadArgument';

/** Coded data that cannot be what an encoder wrote, or a call with arguments that do not fit. */
export class CodecError extends Error {
  readonly reason: CodecReason;

  constructor(reason: CodecReason, message: string) {
    super(message);
    this.name = 'CodecError';
    this.reason = reason;
  }
}
