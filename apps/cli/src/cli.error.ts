export type CliReason =
  | 'Usage'
  | 'BadInput'
  | 'OutputExists'
  | 'OutOfRange'
  | 'CheckFailed'
  | 'Refused';

/** Exit statuses, as documented in `--help`. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notYet: 3, interrupted: 130 } as const;

/** A command cannot do its work. The message names the thing and the fix. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly reason: CliReason;

  constructor(reason: CliReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** One line for stderr. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s*\n\s*/g, ' ').trim();
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
