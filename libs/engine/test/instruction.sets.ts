import { native } from '@entrofleet/native';

const ALL = ['portable', 'neon', 'avx2', 'avx512'] as const;
type Isa = (typeof ALL)[number];

const best = ALL.find((isa) => isa === native.cpu().isa) ?? 'portable';

/** The instruction sets of this machine that the kernels have code for. */
export const machineIsas: readonly Isa[] = ALL.filter((isa) => native.forceIsa(isa));
native.forceIsa(best);

/** Runs work with the kernels of one instruction set, and restores the best one. */
export async function withIsa<Result>(isa: Isa, work: () => Promise<Result>): Promise<Result> {
  if (!native.forceIsa(isa)) throw new Error(`this machine has no ${isa}`);
  try {
    return await work();
  } finally {
    native.forceIsa(best);
  }
}
