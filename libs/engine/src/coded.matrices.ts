import type { NativeTensor } from '@entrofleet/native';
import type { MachineConstants } from './machine.constants.ts';
import { machineRates } from './machine.constants.ts';
import type { ModelConfig } from './model.config.ts';
import {
  type MatrixForm,
  planResidency,
  type ResidencyForm,
  type ResidencyPlan,
  type ResidencyRequest,
  residencyTable,
} from './residency.plan.ts';
import { type PlacedMatrix, placeMatrices, residencyRequest } from './residency.request.ts';
import type { TensorPlace, TensorPlan } from './tensor.names.ts';
import type { CodedMatrixSource } from './weight.source.ts';

/** How a model's coded matrices are held, and why. */
export interface Residency {
  /** Bytes of main memory by form; of what is on disk, bytes there. */
  readonly bytes: Readonly<Record<MatrixForm, number>>;
  /** Matrices by form. */
  readonly matrices: Readonly<Record<MatrixForm, number>>;
  /** One line. */
  readonly explanation: string;
  /** A line for each matrix. */
  readonly table: string;
}

export interface CodedLoad {
  readonly config: ModelConfig;
  readonly plan: TensorPlan;
  readonly threads: number;
  readonly keyValueBytes: number;
  readonly form: ResidencyForm;
  readonly budgetBytes: number | null;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { chunksDone: number; chunksTotal: number }) => void;
}

export interface LoadedCodedMatrices {
  /** By place; only those that were coded. */
  readonly tensors: ReadonlyMap<TensorPlace, NativeTensor>;
  readonly residency: Residency;
}

/**
 * Chooses a form for each of a source's coded matrices that the model uses, and loads them.
 * @throws EngineError `OutOfMemory` when no form fits the budget; errors of the source.
 */
export async function loadCodedMatrices(
  source: CodedMatrixSource,
  use: CodedLoad,
): Promise<LoadedCodedMatrices> {
  const { threads, signal, onProgress } = use;
  const placed = placeMatrices(use.plan, source.codedMatrices);
  const request = await measuredRequest(source, placed, use);
  const plan = planResidency(request);
  const requests = placed.map(({ matrix, places }) => ({
    name: matrix.name,
    form: plan.forms.get(matrix.name) ?? 'window',
    parts: places.map(({ firstRow, rowCount }) => ({ firstRow, rows: rowCount })),
  }));
  const loaded = await source.loadMatrices(requests, {
    ...{ threads, signal },
    ...(onProgress && { onProgress }),
  });
  const tensors = new Map<TensorPlace, NativeTensor>();
  const bytes = { plain: 0, window: 0, coded: 0, disk: 0 };
  const matrices = { plain: 0, window: 0, coded: 0, disk: 0 };
  for (const [i, { places, matrix }] of placed.entries()) {
    const form = plan.forms.get(matrix.name) ?? 'window';
    matrices[form]++;
    if (form === 'disk') bytes.disk += matrix.codedBytes;
    for (const [part, place] of places.entries()) {
      const native = loaded[i]?.[part];
      if (native === undefined) throw new Error(`${matrix.name} was not loaded`);
      if (form !== 'disk') bytes[form] += native.residentBytes;
      const { rowCount: rows, columns } = place;
      tensors.set(place, { format: 'native', rows, columns, matrix: native });
    }
  }
  return { tensors, residency: describe(request, plan, { bytes, matrices }) };
}

function describe(
  request: ResidencyRequest,
  plan: ResidencyPlan,
  held: Pick<Residency, 'bytes' | 'matrices'>,
): Residency {
  return { ...held, explanation: plan.explanation, table: residencyTable(request, plan) };
}

/** Measuring takes time of its own, so it is done only where the choice depends on it. */
async function measuredRequest(
  source: CodedMatrixSource,
  placed: readonly PlacedMatrix[],
  use: CodedLoad,
): Promise<ResidencyRequest> {
  const { form, budgetBytes, threads } = use;
  const request: ResidencyRequest = {
    ...residencyRequest({ ...use, placed, diskBufferBytes: source.diskBufferBytes(threads) }),
    ...{ form, budgetBytes, constants: null },
  };
  if (form !== 'auto' || budgetBytes === null || fitsAsWindows(request, budgetBytes)) {
    return request;
  }
  const constants: MachineConstants = {
    ...(await machineRates({ threads, memoryBytes: budgetBytes / 2 })),
    threads,
    diskBytesPerSecond: await source.measureDisk(),
  };
  return { ...request, constants };
}

function fitsAsWindows({ matrices, fixedBytes }: ResidencyRequest, budgetBytes: number): boolean {
  return matrices.reduce((sum, m) => sum + m.windowBytes, fixedBytes) <= budgetBytes;
}
