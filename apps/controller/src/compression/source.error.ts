import { Stalled } from '../errors.ts';

/** A model's spec names something that cannot be compressed; `pointer` says which field. */
export class SourceError extends Stalled {
  readonly pointer: string;

  constructor(problem: { reason: string; message: string; pointer: string }) {
    super(problem.reason, problem.message);
    this.name = 'SourceError';
    this.pointer = problem.pointer;
  }
}
