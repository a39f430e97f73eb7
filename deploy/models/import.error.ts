/** The default model could not be brought here. `reason` is stable; the message names the fix. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
  readonly reason: 'DownloadFailed' | 'BadPackage' | 'BadWeights' | 'BadTokenizer' | 'WriteFailed';

  constructor(reason: ImportError['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
