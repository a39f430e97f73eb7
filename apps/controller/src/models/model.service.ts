import type { Model, ModelSpec, modelInputSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { Clock } from '../adapters/clock.ts';
import { KeyQueue } from '../adapters/queue.ts';
import { ArtifactCollector } from '../artifacts/artifact.collector.ts';
import { checkSource } from '../compression/source.check.ts';
import { Conflict } from '../errors.ts';
import { EventStore } from '../events/event.store.ts';
import { assertNew } from '../objects/object.input.ts';
import { assertMayChange } from '../objects/ownership.check.ts';
import {
  type Actor,
  isOf,
  type KubernetesActor,
  ownerAfter,
  ownerAfterApply,
  REST,
} from '../objects/ownership.rule.ts';
import { isSameJson } from '../objects/same.json.ts';
import { ModelReferences } from './model.references.ts';
import { ModelStore } from './model.store.ts';
import { COMPRESSION_QUEUE, variantKey } from './variant.key.ts';
import { plannedStatus, retriedStatus } from './variant.plan.ts';

export type ModelInput = z.infer<typeof modelInputSchema>;

/** What a client can do with models. Every change enqueues the variants it concerns. */
@Injectable()
export class ModelService {
  constructor(
    @Inject(ModelStore) private readonly models: ModelStore,
    @Inject(ModelReferences) private readonly references: ModelReferences,
    @Inject(ArtifactCollector) private readonly collector: ArtifactCollector,
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @throws Unprocessable when the source cannot be compressed; Conflict when the name is taken. */
  async create(input: ModelInput, actor: Actor = REST): Promise<Model> {
    const { name, labels } = input.metadata;
    assertNew(input);
    const known = await this.models.find(name);
    if (known !== undefined) assertMayChange('model', known, actor);
    await checkSource(input.spec);
    const status = plannedStatus({ spec: input.spec, generation: 1, now: this.now() }, undefined);
    const owner = ownerAfter(actor, 1);
    const model = await this.models.create({ name, labels, spec: input.spec, status, owner });
    const message = `compressing ${input.spec.variants.map((v) => v.name).join(', ')}`;
    await this.record(name, { type: 'Normal', reason: 'Created', message });
    this.enqueue(model);
    return model;
  }

  /**
   * Creates the model or brings it to this spec; doing it twice changes nothing more.
   * @throws as {@link create}, and Conflict for a `resourceVersion` that is not current, or when the
   * model is somebody else's.
   */
  async apply(input: ModelInput, actor: Actor = REST): Promise<{ model: Model; created: boolean }> {
    const { name, labels, resourceVersion } = input.metadata;
    const { spec } = input;
    const known = await this.models.find(name);
    if (known === undefined && resourceVersion === undefined) {
      return { model: await this.create(input, actor), created: true };
    }
    if (known !== undefined) assertMayChange('model', known, actor);
    await checkSource(spec);
    const model = await this.models.update(
      name,
      (current) => {
        assertMayChange('model', current, actor);
        const owner = ownerAfterApply(actor, current, spec);
        return { labels, spec, status: this.replanned(current, spec), owner };
      },
      { resourceVersion },
    );
    if (model.metadata.generation !== known?.metadata.generation) {
      const message = `generation ${model.metadata.generation}`;
      await this.record(name, { type: 'Normal', reason: 'SpecChanged', message });
    }
    this.enqueue(model);
    return { model, created: false };
  }

  /**
   * Removes the model and those of its artifacts that no device needs.
   * @throws Conflict `ModelInUse` while a rollout names it, or when it is somebody else's.
   */
  async remove(
    name: string,
    resourceVersion: string | undefined,
    actor: Actor = REST,
  ): Promise<void> {
    const permit = (model: Model) => assertMayChange('model', model, actor, 'delete');
    permit(await this.models.get(name));
    const rollouts = await this.references.rolloutsOf(name);
    if (rollouts.length > 0) {
      throw new Conflict(
        'ModelInUse',
        `model "${name}" is named by rollout ${rollouts.map((r) => `"${r}"`).join(', ')}; ` +
          'delete the rollout first',
      );
    }
    await this.models.delete(name, { resourceVersion, permit });
    await this.record(name, { type: 'Normal', reason: 'Deleted', message: '' });
    await this.collector.collect();
  }

  /** The custom resource is gone without having deleted the model: it stays, and is nobody's. */
  async release(name: string, from: Pick<KubernetesActor, 'namespace' | 'name'>): Promise<void> {
    const { metadata } = await this.models.update(name, (current) =>
      isOf(current.metadata.owner, from) ? { owner: null } : undefined,
    );
    if (metadata.owner !== null) return;
    const message = `the resource ${from.namespace}/${from.name} is gone without deleting it`;
    await this.record(name, { type: 'Warning', reason: 'Released', message });
  }

  /** Starts failed variants again. */
  async retry(name: string): Promise<Model> {
    const model = await this.models.updateStatus(name, (m) => retriedStatus(m, this.now()));
    this.enqueue(model);
    return model;
  }

  private replanned(current: Model, spec: ModelSpec): Model['status'] {
    const changed = !isSameJson(spec, current.spec);
    const generation = current.metadata.generation + (changed ? 1 : 0);
    return plannedStatus({ spec, generation, now: this.now() }, current);
  }

  private enqueue(model: Model): void {
    for (const variant of model.status.variants) {
      if (variant.phase === 'Ready' || variant.phase === 'Failed') continue;
      const key = variantKey({ model: model.metadata.name, variant: variant.name });
      this.queue.enqueue(COMPRESSION_QUEUE, key, { now: true });
    }
  }

  private record(
    name: string,
    event: { type: 'Normal' | 'Warning'; reason: string; message: string },
  ): Promise<void> {
    return this.events.record({ object: { kind: 'Model', name }, ...event });
  }

  private now(): string {
    return this.clock.instant();
  }
}
