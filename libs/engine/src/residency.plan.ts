import { EngineError } from './engine.error.ts';
import type { MachineConstants } from './machine.constants.ts';

/** What a caller may ask for; `auto` chooses per matrix what is fastest within the budget. */
export const RESIDENCY_FORMS = ['auto', 'plain', 'window', 'coded', 'disk'] as const;
export type ResidencyForm = (typeof RESIDENCY_FORMS)[number];

/**
 * How a matrix is held: `plain` symbols, a fixed-width `window` with exceptions, entropy `coded` in
 * memory, or coded on `disk`; the latter two are decoded again in every pass.
 */
export type MatrixForm = Exclude<ResidencyForm, 'auto'>;

/** What is known of a matrix before it is decoded. */
export interface MatrixSizes {
  readonly name: string;
  readonly weights: number;
  /** Coded byte values: one a weight, or one for two. */
  readonly symbols: number;
  readonly segmentSymbols: number;
  readonly layout: 'lanes' | 'huffman';
  readonly plainBytes: number;
  readonly windowBytes: number;
  readonly codedBytes: number;
  /** Every token's pass multiplies by it, only looks up a row (embeddings), or does both. */
  readonly use: 'product' | 'rows' | 'both';
}

export interface ResidencyRequest {
  readonly matrices: readonly MatrixSizes[];
  /** null: not measured, and windows taken for the fastest form. */
  readonly constants: MachineConstants | null;
  readonly form: ResidencyForm;
  /** For everything; null: no limit. */
  readonly budgetBytes: number | null;
  /** What the model takes beside its matrices: KV cache, vectors, activations. */
  readonly fixedBytes: number;
  /** Further bytes as soon as a matrix is decoded in every pass, and as soon as one is on disk. */
  readonly decodeScratchBytes: number;
  readonly diskScratchBytes: number;
}

export interface ResidencyPlan {
  /** By name of the matrix. */
  readonly forms: ReadonlyMap<string, MatrixForm>;
  /** Expected, with everything that {@link ResidencyRequest} counts. */
  readonly totalBytes: number;
  /** Expected of one token's pass; null without measured constants. */
  readonly tokenSeconds: number | null;
  /** One line. */
  readonly explanation: string;
}

/** What a disk takes to begin with a read that nothing has announced. */
const LOOK_UP_SECONDS = 0.000_2;

type Assignment = ReadonlyMap<string, MatrixForm>;

/**
 * Chooses how each matrix is held for the most expected tokens a second within the budget.
 * @throws EngineError `OutOfMemory` with the arithmetic when nothing fits.
 */
export function planResidency(request: ResidencyRequest): ResidencyPlan {
  const { form, budgetBytes } = request;
  const forms = form === 'auto' ? bestForms(request) : sameForm(request, form);
  const totalBytes = totalOf(request, forms);
  if (budgetBytes !== null && totalBytes > budgetBytes) {
    const least = totalOf(request, sameForm(request, 'disk'));
    throw new EngineError(
      'OutOfMemory',
      `the model takes ${mebibytes(totalBytes)} ${form === 'auto' ? 'at least' : `as ${form}`} ` +
        `(${mebibytes(request.fixedBytes)} of them for KV cache, vectors and scratch), the budget ` +
        `is ${mebibytes(budgetBytes)}; ` +
        (form === 'auto' || least > budgetBytes
          ? 'choose a smaller context or model'
          : 'choose form auto, or a smaller context'),
    );
  }
  const tokenSeconds = request.constants === null ? null : secondsOf(request, forms);
  return { forms, totalBytes, tokenSeconds, explanation: explain(request, forms, tokenSeconds) };
}

/** One line per group of matrices that are held alike, for people. */
export function residencyTable(request: ResidencyRequest, plan: ResidencyPlan): string {
  const rows = request.matrices.map((matrix) => {
    const form = plan.forms.get(matrix.name) ?? 'plain';
    const sizes = [matrix.codedBytes, matrix.windowBytes, matrix.plainBytes].map(mebibytes);
    return [matrix.name, form, mebibytes(bytesOf(matrix, form)), ...sizes];
  });
  const all = [['matrix', 'form', 'takes', 'coded', 'window', 'plain'], ...rows];
  const widths = all[0]?.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0))) ?? [];
  return all
    .map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

function sameForm({ matrices }: ResidencyRequest, form: MatrixForm): Assignment {
  return new Map(matrices.map(({ name }) => [name, form]));
}

function bestForms(request: ResidencyRequest): Assignment {
  const { matrices, constants } = request;
  const unbounded = new Map<string, MatrixForm>(
    matrices.map((m) => [
      m.name,
      constants !== null && isFasterCoded(m, constants) ? 'coded' : 'window',
    ]),
  );
  if (fits(request, unbounded)) return unbounded;
  const coded = sameForm(request, 'coded');
  const rowsOnDisk = new Map<string, MatrixForm>(
    matrices.map(({ name, use }) => [name, use === 'rows' ? 'disk' : 'coded']),
  );
  const [best = coded] = [coded, rowsOnDisk]
    .map((start) => refine(request, start))
    .sort((a, b) => secondsOf(request, a) - secondsOf(request, b));
  return best;
}

function refine(request: ResidencyRequest, start: Assignment): Assignment {
  const forms = new Map(start);
  moveToDisk(request, forms);
  widenWhileRoom(request, forms);
  return forms;
}

/**
 * Puts as few coded bytes on the disk as will do: reading them is what bounds a pass by far. A
 * matrix of which a token needs only a row costs next to nothing there, so those go first; then the
 * largest that is not more than what must still go, and at last the smallest.
 */
function moveToDisk(request: ResidencyRequest, forms: Map<string, MatrixForm>): void {
  const budgetBytes = request.budgetBytes ?? Number.POSITIVE_INFINITY;
  const bySize = request.matrices
    .filter(({ name }) => forms.get(name) !== 'disk')
    .sort((a, b) => b.codedBytes - a.codedBytes);
  const left = [
    ...bySize.filter(({ use }) => use === 'rows'),
    ...bySize.filter(({ use }) => use !== 'rows'),
  ];
  while (!fits(request, forms) && left.length > 0) {
    const [first] = left;
    const buffers = [...forms.values()].includes('disk') ? 0 : request.diskScratchBytes;
    const excess = totalOf(request, forms) + buffers - budgetBytes;
    const fitting = left.findIndex(({ codedBytes }) => codedBytes <= excess);
    const index = first?.use === 'rows' ? 0 : fitting === -1 ? left.length - 1 : fitting;
    const [matrix] = left.splice(index, 1);
    if (matrix !== undefined) forms.set(matrix.name, 'disk');
  }
}

/** Spends what is left of the budget where a byte saves the most time. */
function widenWhileRoom(request: ResidencyRequest, forms: Map<string, MatrixForm>): void {
  const { constants } = request;
  const gain = (m: MatrixSizes) => {
    if (constants === null) return m.use === 'rows' ? 0.5 : 1;
    const saved = computeSeconds(m, 'coded', constants) - computeSeconds(m, 'window', constants);
    return saved / Math.max(1, m.windowBytes - m.codedBytes);
  };
  const candidates = request.matrices
    .filter((m) => forms.get(m.name) === 'coded' && gain(m) > 0)
    .sort((a, b) => gain(b) - gain(a));
  for (const matrix of candidates) {
    forms.set(matrix.name, 'window');
    if (!fits(request, forms)) forms.set(matrix.name, 'coded');
  }
}

function fits(request: ResidencyRequest, forms: Assignment): boolean {
  return request.budgetBytes === null || totalOf(request, forms) <= request.budgetBytes;
}

function totalOf(request: ResidencyRequest, forms: Assignment): number {
  const { matrices, fixedBytes, decodeScratchBytes, diskScratchBytes } = request;
  const used = new Set(forms.values());
  const decodes = used.has('coded') || used.has('disk');
  const scratch = (decodes ? decodeScratchBytes : 0) + (used.has('disk') ? diskScratchBytes : 0);
  return matrices.reduce(
    (sum, matrix) => sum + bytesOf(matrix, forms.get(matrix.name) ?? 'plain'),
    fixedBytes + scratch,
  );
}

function bytesOf(matrix: MatrixSizes, form: MatrixForm): number {
  const { plainBytes, windowBytes, codedBytes } = matrix;
  return { plain: plainBytes, window: windowBytes, coded: codedBytes, disk: 0 }[form];
}

/**
 * Reading the disk runs beside computing, so the slower of the two bounds a pass. Without measured
 * constants, bytes are compared instead: those on disk, which count a hundred times, and others.
 */
function secondsOf({ matrices, constants }: ResidencyRequest, forms: Assignment): number {
  let compute = 0;
  let disk = 0;
  for (const matrix of matrices) {
    const form = forms.get(matrix.name) ?? 'plain';
    if (constants === null) {
      disk += form === 'disk' ? 100 * diskBytes(matrix) : 0;
      compute += form === 'coded' && matrix.use !== 'rows' ? matrix.weights : 0;
      continue;
    }
    compute += computeSeconds(matrix, form, constants);
    if (form !== 'disk') continue;
    disk += diskBytes(matrix) / constants.diskBytesPerSecond;
    if (matrix.use !== 'product') disk += LOOK_UP_SECONDS;
  }
  return constants === null ? disk + compute : Math.max(compute, disk);
}

function diskBytes(matrix: MatrixSizes): number {
  if (matrix.use !== 'rows') return matrix.codedBytes;
  return (matrix.codedBytes * Math.min(matrix.segmentSymbols, matrix.symbols)) / matrix.symbols;
}

function isFasterCoded(matrix: MatrixSizes, constants: MachineConstants): boolean {
  const [coded, window] = (['coded', 'window'] as const).map((form) =>
    computeSeconds(matrix, form, constants),
  );
  return (coded ?? 0) < (window ?? 0);
}

function computeSeconds(
  matrix: MatrixSizes,
  form: MatrixForm,
  constants: MachineConstants,
): number {
  const decodes = form === 'coded' || form === 'disk';
  const rate =
    matrix.layout === 'lanes' ? constants.laneSymbolsPerSecond : constants.streamSymbolsPerSecond;
  // A row is looked up by one thread, which decodes the segment that it lies in.
  const lookup = decodes ? (matrix.segmentSymbols * constants.threads) / rate : 0;
  if (matrix.use === 'rows') return lookup;
  const reading = bytesOf(matrix, form) / constants.readBytesPerSecond;
  const multiplying = matrix.weights / constants.productWeightsPerSecond;
  const decoding = decodes ? matrix.symbols / rate : 0;
  return Math.max(reading, multiplying + decoding) + (matrix.use === 'both' ? lookup : 0);
}

function explain(
  request: ResidencyRequest,
  forms: Assignment,
  tokenSeconds: number | null,
): string {
  const { matrices, constants, budgetBytes } = request;
  const parts = (['plain', 'window', 'coded', 'disk'] as const).flatMap((form) => {
    const held = matrices.filter(({ name }) => forms.get(name) === form);
    if (held.length === 0) return [];
    const bytes = held.reduce(
      (sum, m) => sum + (form === 'disk' ? m.codedBytes : bytesOf(m, form)),
      0,
    );
    const place = { plain: 'plain', window: 'in windows', coded: 'coded', disk: 'on disk' }[form];
    return [`${held.length} ${place} (${mebibytes(bytes)})`];
  });
  const total = mebibytes(totalOf(request, forms));
  const budget = budgetBytes === null ? 'no limit' : mebibytes(budgetBytes);
  const held = `matrices: ${parts.join(', ') || 'none coded'}; ${total} in all, budget ${budget}`;
  if (constants === null || tokenSeconds === null) return held;
  const perSecond = (1 / tokenSeconds).toPrecision(2);
  return (
    `${held}; at most ${perSecond} tokens/s by memory at ${giga(constants.readBytesPerSecond)} ` +
    `GB/s, lanes at ${giga(constants.laneSymbolsPerSecond)} and streams at ` +
    `${giga(constants.streamSymbolsPerSecond)} Gsymbols/s, products at ` +
    `${giga(constants.productWeightsPerSecond)} Gweights/s, disk at ` +
    `${giga(constants.diskBytesPerSecond)} GB/s`
  );
}

function giga(perSecond: number): string {
  return (perSecond / 1e9).toFixed(1);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
