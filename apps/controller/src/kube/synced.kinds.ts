import {
  type Model,
  modelInputSchema,
  type Rollout,
  type RolloutStatus,
  rolloutInputSchema,
} from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { ModelService } from '../models/model.service.ts';
import { ModelStore } from '../models/model.store.ts';
import { unplannedStatus } from '../models/variant.plan.ts';
import type { KubernetesActor } from '../objects/ownership.rule.ts';
import { RolloutService } from '../rollouts/rollout.service.ts';
import { initialStatus } from '../rollouts/rollout.status.plan.ts';
import { RolloutStore } from '../rollouts/rollout.store.ts';
import type { WatchedStore } from '../watch/object.changes.store.ts';
import { type CustomResource, MODEL_RESOURCE, ROLLOUT_RESOURCE } from './custom.resources.ts';
import type { KubeObject } from './kube.object.ts';
import { type ResourceInput, resourceInput } from './resource.input.ts';
import type { StatusOfOurs } from './status.projection.ts';

export type SyncedObject = Model | Rollout;

/** What a custom resource asks for, and how that is done. */
export interface Wanted {
  readonly spec: unknown;
  readonly labels: Readonly<Record<string, string>>;
  /** Creates the object, or changes it to this. @throws RequestError as the REST interface does. */
  apply(actor: KubernetesActor): Promise<void>;
}

/** A kind of custom resource with the services behind it, the same as behind the REST interface. */
export interface SyncedKind {
  readonly resource: CustomResource;
  readonly store: WatchedStore;
  find(name: string): Promise<SyncedObject | undefined>;
  namesOwnedBy(namespace: string): Promise<readonly string[]>;
  wanted(object: KubeObject): ResourceInput<Wanted>;
  /** @throws RequestError, e.g. Conflict `ModelInUse` */
  remove(name: string, actor: KubernetesActor): Promise<void>;
  release(name: string, from: Pick<KubernetesActor, 'namespace' | 'name'>): Promise<void>;
  /** Of a resource that no object stands behind. */
  initialStatus(): SyncedObject['status'];
  /** With what a table of `kubectl get` cannot work out for itself. */
  shown(status: SyncedObject['status']): StatusOfOurs;
}

@Injectable()
export class SyncedKinds {
  readonly models: SyncedKind;
  readonly rollouts: SyncedKind;

  constructor(
    @Inject(ModelStore) models: ModelStore,
    @Inject(ModelService) modelService: ModelService,
    @Inject(RolloutStore) rollouts: RolloutStore,
    @Inject(RolloutService) rolloutService: RolloutService,
  ) {
    this.models = {
      resource: MODEL_RESOURCE,
      store: models,
      find: (name) => models.find(name),
      namesOwnedBy: (namespace) => models.namesOwnedBy(namespace),
      wanted: (object) =>
        wantedBy(resourceInput(object, modelInputSchema), (input, actor) =>
          modelService.apply(input, actor),
        ),
      remove: (name, actor) => modelService.remove(name, undefined, actor),
      release: (name, from) => modelService.release(name, from),
      initialStatus: unplannedStatus,
      shown: (status) => status,
    };
    this.rollouts = {
      resource: ROLLOUT_RESOURCE,
      store: rollouts,
      find: (name) => rollouts.find(name),
      namesOwnedBy: (namespace) => rollouts.namesOwnedBy(namespace),
      wanted: (object) =>
        wantedBy(resourceInput(object, rolloutInputSchema), (input, actor) =>
          rolloutService.apply(input, actor),
        ),
      remove: (name, actor) => rolloutService.remove(name, undefined, actor),
      release: (name, from) => rolloutService.release(name, from),
      initialStatus,
      shown: (status) => ({ ...status, ...('currentWave' in status ? waveShown(status) : {}) }),
    };
  }

  get all(): readonly SyncedKind[] {
    return [this.models, this.rollouts];
  }
}

/** As messages and the command line say it; before there are waves, nothing. */
function waveShown({ currentWave, totalWaves }: RolloutStatus): { wave?: string } {
  return totalWaves === 0 ? {} : { wave: `${currentWave + 1}/${totalWaves}` };
}

interface Input {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: unknown;
}

function wantedBy<T extends Input>(
  read: ResourceInput<T>,
  apply: (input: T, actor: KubernetesActor) => Promise<unknown>,
): ResourceInput<Wanted> {
  if ('fault' in read) return read;
  const { input } = read;
  return {
    input: {
      spec: input.spec,
      labels: input.metadata.labels,
      apply: async (actor) => {
        await apply(input, actor);
      },
    },
  };
}
