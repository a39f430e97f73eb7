import type { NativeMatrix, ResidentTensor } from '@entrofleet/native';
import type { MatrixForm } from './residency.plan.ts';
import type { SymbolShares } from './residency.sizes.ts';

/** A coded matrix as its source tells before anything of it is read. */
export interface CodedMatrix {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 8 | 4;
  readonly layout: 'lanes' | 'huffman';
  /** Coded byte values: one a weight, or one for two. */
  readonly symbols: number;
  readonly segmentSymbols: number;
  readonly codedBytes: number;
  readonly shares: SymbolShares;
}

/** One coded matrix that is wanted, as a whole or as consecutive rows. */
export interface MatrixRequest {
  readonly name: string;
  readonly form: MatrixForm;
  readonly parts: readonly { readonly firstRow: number; readonly rows: number }[];
}

/** A source that holds matrices entropy coded, and can load them in more than one form. */
export interface CodedMatrixSource {
  readonly codedMatrices: readonly CodedMatrix[];
  /** Resolves to the matrices of each request's parts; `signal` ends the work early. */
  loadMatrices(
    requests: readonly MatrixRequest[],
    options: {
      readonly threads: number;
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: (progress: { chunksDone: number; chunksTotal: number }) => void;
    },
  ): Promise<NativeMatrix[][]>;
  /** Bytes that matrices on disk are read into. */
  diskBufferBytes(threads: number): number;
  /** Bytes per second of the disk that the matrices lie on. */
  measureDisk(): Promise<number>;
}

/** Where a model's weights come from: a checkpoint folder or an artifact. */
export interface WeightSource {
  /** Parsed config.json. */
  readonly config: unknown;
  readonly tensorNames: readonly string[];
  /** `signal` ends the work early; the promise then rejects. */
  readResident(
    name: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<ResidentTensor>;
  /** Matrices that need not go through {@link readResident}. */
  readonly coded?: CodedMatrixSource;
}
