import { ISA_NAMES, type IsaName, native } from '@entrofleet/native';

const best = native.cpu().isa;

/** The instruction sets of this machine that the kernels have code for. */
export const machineIsas: readonly IsaName[] = ISA_NAMES.filter((isa) => native.forceIsa(isa));
native.forceIsa(best);

/** Runs work with the kernels of one instruction set, and restores the best one. */
export async function withIsa<Result>(isa: IsaName, work: () => Promise<Result>): Promise<Result> {
  if (!native.forceIsa(isa)) throw new Error(`this machine has no ${isa}`);
  try {
    return await work();
  } finally {
    native.forceIsa(best);
  }
}
