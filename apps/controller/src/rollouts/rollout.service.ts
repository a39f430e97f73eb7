import type { Member, Rollout, RolloutSpec, rolloutInputSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { Clock } from '../adapters/clock.ts';
import { Conflict, NotFound, Unprocessable } from '../errors.ts';
import { EventStore } from '../events/event.store.ts';
import { assertNew } from '../objects/object.input.ts';
import { assertMayChange } from '../objects/ownership.check.ts';
import {
  type Actor,
  type Change,
  isOf,
  type KubernetesActor,
  ownerAfter,
  ownerAfterApply,
  REST,
} from '../objects/ownership.rule.ts';
import { isSameJson } from '../objects/same.json.ts';
import { RevisionArtifacts } from './revision.artifacts.ts';
import { RevisionStore } from './revision.store.ts';
import { aborted, approved, resumed, retried } from './rollout.actions.plan.ts';
import { initialStatus } from './rollout.status.plan.ts';
import { type RolloutChange, RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';
import { windowFault } from './time.window.plan.ts';

export type RolloutInput = z.infer<typeof rolloutInputSchema>;

/** What a client can do with rollouts. Every change enqueues the rollouts it may concern. */
@Injectable()
export class RolloutService {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(RevisionStore) private readonly revisions: RevisionStore,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(RevisionArtifacts) private readonly artifacts: RevisionArtifacts,
  ) {}

  /** @throws Unprocessable with a `resourceVersion`; Conflict when the name is taken. */
  async create(input: RolloutInput, actor: Actor = REST): Promise<Rollout> {
    assertNew(input);
    assertWindows(input.spec);
    const { name, labels } = input.metadata;
    const known = await this.rollouts.find(name);
    if (known !== undefined) assertMayChange('rollout', known, actor);
    const status = initialStatus();
    const owner = ownerAfter(actor, 1);
    const rollout = await this.rollouts.create({ name, labels, spec: input.spec, status, owner });
    this.wakeups.wakeOne(name);
    return rollout;
  }

  /**
   * Creates the rollout or brings it to this spec; doing it twice changes nothing more.
   * @throws Conflict for a `resourceVersion` that is not current, or when it is somebody else's.
   */
  async apply(
    input: RolloutInput,
    actor: Actor = REST,
  ): Promise<{ rollout: Rollout; created: boolean }> {
    const { name, labels, resourceVersion } = input.metadata;
    if (resourceVersion === undefined && (await this.rollouts.find(name)) === undefined) {
      return { rollout: await this.create(input, actor), created: true };
    }
    const { spec } = input;
    assertWindows(spec);
    const rollout = await this.rollouts.update(
      name,
      (current) => {
        assertMayChange('rollout', current, actor);
        return { spec, labels, owner: ownerAfterApply(actor, current, spec) };
      },
      { resourceVersion },
    );
    // Another selector may leave devices to other rollouts.
    await this.wakeups.wakeAll();
    return { rollout, created: false };
  }

  /** Devices keep what they run. @throws NotFound, Conflict */
  async remove(
    name: string,
    resourceVersion: string | undefined,
    actor: Actor = REST,
  ): Promise<void> {
    const permit = (rollout: Rollout) => assertMayChange('rollout', rollout, actor, 'delete');
    await this.rollouts.delete(name, { resourceVersion, permit });
    await this.wakeups.wakeAll();
  }

  /** The custom resource is gone without having deleted the rollout: it goes on, and is nobody's. */
  async release(name: string, from: Pick<KubernetesActor, 'namespace' | 'name'>): Promise<void> {
    const { metadata } = await this.rollouts.update(name, (current) =>
      isOf(current.metadata.owner, from) ? { owner: null } : undefined,
    );
    if (metadata.owner !== null) return;
    const message = `the resource ${from.namespace}/${from.name} is gone without deleting it`;
    const object = { kind: 'Rollout', name } as const;
    await this.events.record({ object, type: 'Warning', reason: 'Released', message });
  }

  /** @throws Conflict when the rollout was given up: nothing of it starts any more. */
  pause(name: string): Promise<Rollout> {
    return this.act(name, 'pause', ({ spec, status }) => {
      assertNotGivenUp(name, status);
      return { spec: { ...spec, paused: true } };
    });
  }

  /**
   * Where the spec does not pause it, this changes no spec: it goes on past a gate.
   * @throws Conflict when the rollout was given up: going on would undo what was decided.
   */
  resume(name: string): Promise<Rollout> {
    return this.act(name, 'resume', ({ spec, status }, members) => {
      assertNotGivenUp(name, status);
      const progress = resumed({ status, members }, this.clock.instant());
      return { spec: { ...spec, paused: false }, ...progress };
    });
  }

  retry(name: string): Promise<Rollout> {
    return this.act(name, 'change', ({ status }, members) =>
      retried({ status, members }, this.clock.instant()),
    );
  }

  /**
   * Lets the next wave open, or the one that is named, counted from 1.
   * @throws Conflict when no wave waits for it.
   */
  approve(name: string, wave?: number): Promise<Rollout> {
    return this.act(name, 'change', ({ status }, members) => {
      const next = status.currentWave + 1;
      const waits = status.conditions.some(({ reason }) => reason === 'AwaitingApproval');
      if (!waits || (wave !== undefined && wave - 1 !== next)) {
        const which = wave === undefined ? 'no wave waits' : `wave ${wave} is not one that waits`;
        const message = `rollout "${name}": ${which} for approval; see its conditions`;
        throw new Conflict('NothingToApprove', message);
      }
      return approved({ status, members }, next);
    });
  }

  /** Starts nothing more, and stops what has not begun to activate. */
  abort(name: string): Promise<Rollout> {
    return this.act(name, 'change', ({ metadata, status }, members) => {
      const { generation } = metadata;
      return aborted({ status, members }, { now: this.clock.instant(), generation });
    });
  }

  /**
   * Sets the spec back to that of a revision, by default of the one before this, with the artifacts
   * it rolled out. It is rolled out as a new revision, by its own strategy.
   * @throws NotFound for a revision that is not recorded, Conflict when an artifact of it is gone.
   */
  async rollBack(name: string, wanted?: number): Promise<Rollout> {
    const { status } = await this.rollouts.get(name);
    const known = await this.revisions.list(name);
    const found =
      wanted === undefined
        ? known.find(({ revision }) => revision < status.revision)
        : known.find(({ revision }) => revision === wanted);
    if (found === undefined) {
      const recorded = known.map(({ revision }) => revision).join(', ') || 'none';
      throw new NotFound({
        kind: 'revision',
        name: `${wanted ?? 'before'} (recorded: ${recorded})`,
      });
    }
    const spec = await this.artifacts.specOf(name, found);
    const rollout = await this.act(name, 'undo', () => ({ spec: { ...spec, paused: false } }));
    await this.wakeups.wakeAll();
    return rollout;
  }

  /** @throws Conflict when it would change the spec of a rollout that is somebody else's. */
  private async act(
    name: string,
    what: Change,
    change: (rollout: Rollout, members: readonly Member[]) => RolloutChange,
  ): Promise<Rollout> {
    const rollout = await this.rollouts.updateRecord(name, (current, members) => {
      const next = change(current, members);
      const isSameSpec = next.spec === undefined || isSameJson(next.spec, current.spec);
      if (!isSameSpec) assertMayChange('rollout', current, REST, what);
      return next;
    });
    this.wakeups.wakeOne(name);
    return rollout;
  }
}

/** @throws Unprocessable */
function assertWindows({ strategy }: RolloutSpec): void {
  const message = windowFault(strategy);
  if (message === undefined) return;
  const pointer = '/spec/strategy/windows';
  throw new Unprocessable({ reason: 'BadWindow', message, errors: [{ pointer, message }] });
}

/** @throws Conflict */
function assertNotGivenUp(name: string, { abandoned }: Rollout['status']): void {
  if (abandoned === null) return;
  const what = abandoned.how === 'Abort' ? 'aborted' : 'rolled back';
  const message = `rollout "${name}" was ${what}; retry it or change its spec to start over`;
  throw new Conflict('GivenUp', message);
}
