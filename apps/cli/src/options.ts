import { availableParallelism } from 'node:os';
import { RESIDENCY_FORMS, type ResidencyForm } from '@entrofleet/engine';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseSize } from './size.text.ts';

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

/** How a model is held in memory. */
export interface MemoryOptions {
  /** Bytes for this process. */
  readonly memory?: number;
  readonly form: ResidencyForm;
}

export function addMemoryOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--memory <size>',
        'memory for this process, e.g. 900MB or 1.5GiB: matrices that do not fit as they are ' +
          'fastest stay entropy coded, or on disk',
      ).argParser((text) => {
        const sizeBytes = parseSize(text);
        if (sizeBytes !== undefined) return sizeBytes;
        throw new InvalidArgumentError('Use a number with B, kB, MB, GB, KiB, MiB or GiB.');
      }),
    )
    .addOption(
      new Option('--form <form>', "how an artifact's matrices are held")
        .choices(RESIDENCY_FORMS)
        .default('auto', 'auto: what is fastest within --memory'),
    );
}
