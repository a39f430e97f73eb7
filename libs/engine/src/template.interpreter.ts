import * as jinja from '@huggingface/jinja';
import { formatDate } from './date.format.ts';

/** What a template may use up. */
export interface TemplateBounds {
  /** Expressions and statements evaluated, turns of loops, and lists and texts by their length. */
  readonly steps: number;
  /** Entries of range(). */
  readonly rangeLength: number;
}

/** The template itself says no: it called `raise_exception`. */
export class TemplateRefusal extends Error {}

/** A parsed template, which only the library looks into. */
export interface TemplateProgram {
  readonly type: string;
}

interface TemplateValue {
  readonly value: unknown;
}

interface TemplateEnvironment {
  set(name: string, value: unknown): unknown;
}

interface TemplateInterpreter {
  run(program: TemplateProgram): TemplateValue;
  /** Called by the library itself for every statement and expression. */
  evaluate(node: unknown, environment: TemplateEnvironment): TemplateValue;
}

/** What is used of the library, whose own declarations of these cannot be resolved from ESM. */
interface TemplateLibrary {
  readonly Environment: new () => TemplateEnvironment;
  readonly Interpreter: new (environment: TemplateEnvironment) => TemplateInterpreter;
  parse(tokens: unknown): TemplateProgram;
  tokenize(text: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown;
}

const library: TemplateLibrary = jinja;

/** Parses a Jinja template with the settings of Hugging Face's chat templates. */
export function parseTemplate(text: string): TemplateProgram {
  return library.parse(library.tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
}

/**
 * Renders a parsed template. Its values live in maps of the library's own, so no name it uses leads
 * to a JavaScript object or prototype; steps and sizes are bounded, since the library bounds
 * neither.
 * @throws TemplateRefusal; Error for whatever else goes wrong.
 */
export function renderTemplate(
  program: TemplateProgram,
  use: {
    readonly variables: Readonly<Record<string, unknown>>;
    readonly bounds: TemplateBounds;
    readonly now: () => Date;
  },
): string {
  const environment = new library.Environment();
  const globals = {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    ...use.variables,
    range: (...bounds: number[]) => boundedRange(bounds, use.bounds.rangeLength),
    strftime_now: (format: string) => formatDate(use.now(), String(format)),
    raise_exception: (message: unknown) => {
      throw new TemplateRefusal(String(message));
    },
  };
  for (const [name, value] of Object.entries(globals)) environment.set(name, value);
  const { value } = new BoundedInterpreter(environment, use.bounds).run(program);
  return String(value);
}

/** Entries of a list that count as one step, and characters of a text. */
const STEP_ENTRIES = 16;
const STEP_CHARACTERS = 256;

class BoundedInterpreter extends library.Interpreter {
  readonly #bounds: TemplateBounds;
  /** What loops run over. */
  readonly #loops = new WeakSet<object>();
  #stepsLeft: number;

  constructor(environment: TemplateEnvironment, bounds: TemplateBounds) {
    super(environment);
    this.#bounds = bounds;
    this.#stepsLeft = bounds.steps;
  }

  override evaluate(node: unknown, environment: TemplateEnvironment): TemplateValue {
    const list = loopedOver(node);
    if (list !== undefined) this.#loops.add(list);
    this.#spend(1);
    const result = super.evaluate(node, environment);
    const { value } = result;
    if (typeof value !== 'string' && !Array.isArray(value)) return result;
    const isLoop = typeof node === 'object' && node !== null && this.#loops.has(node);
    const entriesAStep = isLoop ? 1 : STEP_ENTRIES;
    this.#spend(value.length / (typeof value === 'string' ? STEP_CHARACTERS : entriesAStep));
    return result;
  }

  #spend(steps: number): void {
    this.#stepsLeft -= steps;
    if (this.#stepsLeft < 0) throw new Error(`it takes more than ${this.#bounds.steps} steps`);
  }
}

/** The expression a `for` statement runs over, without its condition. */
function loopedOver(node: unknown): object | undefined {
  const { type, iterable } = Object(node) as { type?: unknown; iterable?: object };
  if (type !== 'For' || iterable === undefined) return undefined;
  return 'lhs' in iterable ? Object(iterable.lhs) : iterable;
}

/** Python's range(stop), range(start, stop) or range(start, stop, step). */
function boundedRange(bounds: readonly number[], most: number): number[] {
  const [first = 0, second, step = 1] = bounds.filter((bound) => typeof bound === 'number');
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= most)) throw new Error(`range() has more than ${most} entries`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}
