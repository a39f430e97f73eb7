import { availableParallelism } from 'node:os';
import { InvalidArgumentError, Option } from 'commander';

export const THREADS_MAX = 256;

/** Reads an option's number. @throws InvalidArgumentError, which commander reports as usage. */
export function integerFrom(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Use an integer from ${least} to ${most}.`);
  };
}

/** Reads an option's number, fractions too. @throws InvalidArgumentError. */
export function numberFrom(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Use a number from ${least} to ${most}.`);
  };
}

export function threadsOption(): Option {
  return new Option('--threads <n>', 'threads to work with')
    .argParser(integerFrom(1, THREADS_MAX))
    .default(Math.min(THREADS_MAX, availableParallelism()), 'the number of cores');
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON for programs');
}
