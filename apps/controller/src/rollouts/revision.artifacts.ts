import type { Revision, RolloutSpec } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { Conflict } from '../errors.ts';
import { ModelStore } from '../models/model.store.ts';
import { wantedVariants } from './acceptance.plan.ts';

/** What a revision rolled out, which need not be what its model has today. */
@Injectable()
export class RevisionArtifacts {
  constructor(
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ArtifactStore) private readonly artifacts: ArtifactStore,
  ) {}

  /**
   * The spec that rolls the same artifacts out again: where the model has others by now it names
   * those of the revision.
   * @throws Conflict when one of them is gone.
   */
  async specOf(rollout: string, revision: Revision): Promise<RolloutSpec> {
    const { spec, artifactIds } = revision;
    const model = await this.models.find(spec.model);
    if (artifactIds.length === 0 || model === undefined) return spec;
    const wanted = new Set(wantedVariants(spec, model));
    const present = model.status.variants
      .filter(({ name }) => wanted.has(name))
      .flatMap(({ artifactId }) => artifactId ?? []);
    const isSame = present.toSorted().join() === artifactIds.toSorted().join();
    if (isSame && spec.artifactIds === undefined) return spec;
    const found = await this.artifacts.ofModel(spec.model, artifactIds);
    const gone = artifactIds.filter((id) => !found.some((artifact) => artifact.id === id));
    if (gone.length === 0) return { ...spec, artifactIds };
    const message =
      `revision ${revision.revision} of rollout "${rollout}" rolled out ${gone.join(', ')}, which ` +
      `no device needed any more and is gone; model "${spec.model}" has ` +
      `${present.join(', ') || 'nothing'} instead. Apply the spec of that revision to roll that out`;
    throw new Conflict('ArtifactGone', message);
  }
}
