export type CheckpointReason =
  | 'FolderMissing'
  | 'ConfigMissing'
  | 'BadConfig'
  | 'WeightsMissing'
  | 'BadIndex'
  | 'MissingShard'
  | 'BadSafetensors'
  | 'UnsupportedType'
  | 'MissingTensor'
  | 'DuplicateTensor'
  | 'EmptyModel'
  | 'TooLarge'
  | 'TokenizerMissing'
  | 'NotAFile'
  | 'ReadFailed'
  | 'SourceChanged'
  | 'TiedHeadDiffers'
  | 'NonFiniteWeight';

/** The source folder cannot be used. The message names the file or tensor and the fix. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
  readonly reason: CheckpointReason;

  constructor(reason: CheckpointReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
