export type EngineErrorReason =
  | 'BadConfig'
  | 'UnsupportedArchitecture'
  | 'MissingTensor'
  | 'BadShape'
  | 'BadTokenizer'
  | 'BadToken'
  | 'BadArgument'
  | 'BadChatTemplate'
  | 'BadMessages'
  | 'ContextExceeded'
  | 'NonFiniteLogits'
  | 'OutOfMemory'
  | 'ModelClosed'
  | 'Cancelled'
  | 'NativeFailure';

/** Anything the engine refuses or fails at; the message names the thing and the fix. */
export class EngineError extends Error {
  readonly reason: EngineErrorReason;

  constructor(reason: EngineErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EngineError';
    this.reason = reason;
  }
}

const NATIVE_REASONS: Readonly<Record<string, EngineErrorReason>> = {
  BadShape: 'BadShape',
  BadToken: 'BadToken',
  BadArgument: 'BadArgument',
  ContextExceeded: 'ContextExceeded',
  OutOfMemory: 'OutOfMemory',
  ThreadsUnavailable: 'OutOfMemory',
  Cancelled: 'Cancelled',
  ModelClosed: 'ModelClosed',
  SessionClosed: 'ModelClosed',
};

/** Wraps an error of the native addon, whose `code` says what went wrong. */
export function fromNative(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  return new EngineError(NATIVE_REASONS[code] ?? 'NativeFailure', message, { cause: error });
}

/** @throws EngineError `Cancelled` when the signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new EngineError('Cancelled', 'the caller cancelled the work', { cause: signal.reason });
}
