/** Stable reasons, for callers that decide by them. */
export type CalibrationReason = 'BadTokens' | 'MissingTensor' | 'BadShape' | 'NonFiniteActivation';

/** A checkpoint cannot be calibrated. The message names the thing and the fix. */
export class CalibrationError extends Error {
  override readonly name = 'CalibrationError';
  readonly reason: CalibrationReason;

  constructor(reason: CalibrationReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
