import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { CalibrationBinding } from './calibration.types.ts';
import type { CodecBinding } from './codec.types.ts';
import type { EngineBinding } from './engine.types.ts';
import type { LoaderBinding } from './loader.types.ts';

export type * from './calibration.types.ts';
export type * from './codec.types.ts';
export type * from './engine.types.ts';
export type * from './loader.types.ts';

export interface CpuBinding {
  /** The instruction set the kernels use now, and the extensions found. */
  cpu(): { isa: string; features: string[] };
  /** Lowers the instruction set, for tests. False when the machine lacks it. */
  forceIsa(name: 'portable' | 'neon' | 'avx2' | 'avx512'): boolean;
}

/** The addon could not be loaded; the message says how to build it. */
export class NativeUnavailable extends Error {
  readonly reason = 'NativeUnavailable';
}

function load(): CpuBinding & CodecBinding & CalibrationBinding & EngineBinding & LoaderBinding {
  const path = fileURLToPath(
    new URL(`../build/${platform}-${arch}/entrofleet.node`, import.meta.url),
  );
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    throw new NativeUnavailable(
      `cannot load the native addon ${path}; build it with "make native" (needs g++ and make)`,
      { cause },
    );
  }
}

/** The one instance of the addon in this process. */
export const native = load();
