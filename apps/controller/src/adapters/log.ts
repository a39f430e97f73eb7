export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

const SEVERITY: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** One JSON object a line on stderr: time, level, message, then the given fields. */
export class Log {
  readonly #least: LogLevel;
  readonly #write: (line: string) => void;

  constructor(least: LogLevel, write: (line: string) => void = (l) => process.stderr.write(l)) {
    this.#least = least;
    this.#write = write;
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#line('debug', message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#line('info', message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#line('warn', message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#line('error', message, fields);
  }

  #line(level: LogLevel, message: string, fields: LogFields): void {
    if (SEVERITY[level] < SEVERITY[this.#least]) return;
    const time = new Date().toISOString();
    this.#write(
      `${JSON.stringify({ time, level, message: maskSecrets(message), ...masked(fields) })}\n`,
    );
  }
}

function masked(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([k, v]) => [k, typeof v === 'string' ? maskSecrets(v) : v]),
  );
}

/** Hides the password of every URL in a text. */
export function maskSecrets(text: string): string {
  return text.replace(/(\w:\/\/[^\s/:@]*):[^\s@/]+@/g, '$1:***@');
}
