import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export interface ProgramResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramInput {
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: nothing. */
  readonly stdin?: string;
  /** It is killed then, and its status is -1. Default: 120 s. */
  readonly timeoutMs?: number;
}

/** A program ended with another status than 0; the message holds what it wrote. */
export class ProgramError extends Error {
  readonly result: ProgramResult;

  constructor(command: string, result: ProgramResult) {
    super(`${command}: status ${result.status}\n${result.stderr}${result.stdout}`);
    this.result = result;
  }
}

/** Runs a program to its end, whatever its status is. */
export async function attemptProgram(
  path: string,
  args: readonly string[],
  input: ProgramInput = {},
): Promise<ProgramResult> {
  const child = spawn(path, args, {
    env: { ...process.env, ...input.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: input.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  });
  // A program that does not read its input to the end is no failure of ours.
  child.stdin.on('error', () => {});
  child.stdin.end(input.stdin ?? '');
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { status: typeof code === 'number' ? code : -1, stdout, stderr };
}

/** Runs a program. @returns what it wrote to its standard output. @throws ProgramError */
export async function runProgram(
  path: string,
  args: readonly string[],
  input: ProgramInput = {},
): Promise<string> {
  const result = await attemptProgram(path, args, input);
  if (result.status !== 0) throw new ProgramError([path, ...args].join(' '), result);
  return result.stdout;
}
