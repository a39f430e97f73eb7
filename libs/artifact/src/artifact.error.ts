export type ArtifactReason =
  | 'Truncated'
  | 'TrailingBytes'
  | 'BadMagic'
  | 'UnsupportedVersion'
  | 'BadHeader'
  | 'HeaderTooLarge'
  | 'HashMismatch'
  | 'BadTensor'
  | 'BadFile'
  | 'UnknownTensor'
  | 'UnknownFile'
  | 'UnknownChunk'
  | 'NotAFile'
  | 'Closed'
  | 'BadArgument'
  | 'BadPart'
  | 'BadDelta'
  | 'WrongBase'
  | 'ReadFailed'
  | 'WriteFailed'
  | 'DiskFull';

/** An artifact cannot be read or written. The message names the file, the place and the fix. */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';
  readonly reason: ArtifactReason;

  constructor(reason: ArtifactReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
