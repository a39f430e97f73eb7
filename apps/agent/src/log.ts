export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One line a message on standard output, with time and level, as journald and people read it. */
export function createLog(
  least: LogLevel,
  write: (line: string) => void = (line) => process.stdout.write(line),
): Log {
  const at = (level: LogLevel) => (message: string) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return;
    const text = message.replace(/\s*\n\s*/g, ' | ');
    write(`${new Date().toISOString()} ${level.padEnd(5)} ${text}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
