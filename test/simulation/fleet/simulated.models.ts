import type { Artifact, Model } from '../../../libs/protocol/src/index.ts';
import { digest, exampleArtifact, exampleModel } from '../../support/fleet.examples.ts';

/** How an artifact behaves when a device runs it; the controller finds that out by its reports. */
export interface Behaviour {
  /** Loading or testing it takes the whole agent down. */
  readonly kills: boolean;
  /** It computes something else than its probe says. */
  readonly miscomputes: boolean;
  readonly decodeTokensPerSecond: number;
}

export interface SimulatedArtifact {
  readonly artifact: Artifact;
  readonly behaviour: Behaviour;
}

const CHUNK_BYTES = 256 * 1024;

export function simulatedArtifact(of: {
  variant: string;
  chunks: number;
  memoryBytes: number;
  behaviour: Behaviour;
}): SimulatedArtifact {
  const id = digest(`artifact ${of.variant}`);
  const base = exampleArtifact({ id });
  const ref = { ...base.ref, chunkCount: of.chunks, sizeBytes: of.chunks * CHUNK_BYTES };
  const { variant, memoryBytes } = of;
  return { artifact: { ...base, variant, memoryBytes, ref }, behaviour: of.behaviour };
}

/** A model whose variants are these, all of them ready. */
export function simulatedModel(variants: readonly SimulatedArtifact[]): Model {
  const model = exampleModel();
  const [example] = model.status.variants;
  if (example === undefined) throw new Error('the example has no variant');
  return {
    ...model,
    spec: {
      ...model.spec,
      variants: variants.map(({ artifact }) => ({
        name: artifact.variant,
        recipe: 'u8',
        layout: 'auto' as const,
      })),
    },
    status: {
      ...model.status,
      variants: variants.map(({ artifact }) => ({
        ...example,
        name: artifact.variant,
        artifactId: artifact.id,
      })),
    },
  };
}
