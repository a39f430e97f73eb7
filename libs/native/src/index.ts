import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { loadAddon } from './addon.loader.ts';
import type { CalibrationBinding } from './calibration.types.ts';
import type { CodecBinding } from './codec.types.ts';
import type { EngineBinding } from './engine.types.ts';
import type { LoaderBinding } from './loader.types.ts';
import type { ServiceBinding } from './service.types.ts';

export { NativeUnavailable } from './addon.loader.ts';
export type * from './calibration.types.ts';
export type * from './codec.types.ts';
export type * from './engine.types.ts';
export type * from './loader.types.ts';
export type * from './service.types.ts';

/** The instruction sets that there are kernels for; neon-dot is NEON with dot products. */
export const ISA_NAMES = ['portable', 'neon', 'neon-dot', 'avx2', 'avx512'] as const;
export type IsaName = (typeof ISA_NAMES)[number];

export interface CpuBinding {
  /** The instruction set the kernels use now, and the extensions found. */
  cpu(): { isa: IsaName; features: string[] };
  /** Lowers the instruction set, for tests. False when the machine lacks it. */
  forceIsa(name: IsaName): boolean;
}

type Addon = CpuBinding &
  CodecBinding &
  CalibrationBinding &
  EngineBinding &
  LoaderBinding &
  ServiceBinding;

/** The one instance of the addon in this process. */
export const native: Addon = loadAddon({
  packageFolder: fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, ''),
  target: `${platform}-${arch}`,
  load: createRequire(import.meta.url),
});
