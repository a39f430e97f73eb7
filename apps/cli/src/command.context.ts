/** What every command is given by the process it runs in. */
export interface CommandContext {
  readonly signal: AbortSignal;
  /** Writes to stdout. */
  readonly print: (text: string) => void;
  /** Writes a line to stderr, after `entrofleet: `. */
  readonly complain: (message: string) => void;
  /** The exit status when the command ends without an error. */
  exitWith(status: number): void;
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
