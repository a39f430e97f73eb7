import type { RolloutAction } from '../../../apps/controller/src/rollouts/rollout.types.ts';
import type { CountOrPercent, Device } from '../../../libs/protocol/src/index.ts';
import { type FleetWorld, ROLLOUT } from './fleet.world.ts';
import type { Reconciled } from './simulated.controller.ts';
import type { SimulatedDevice } from './simulated.device.ts';
import { bytesOf } from './simulated.steps.ts';

/** Something that must never happen has happened. */
export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** A limit that was changed is not held against what was begun under the one before. */
const LIMIT_MEMORY_MS = 900_000;
/** Loading a model again after a start takes this long at most. */
const RESTORE_MS = 10_000;
const AT_RISK: ReadonlySet<string> = new Set(['Decoding', 'Testing', 'Activating']);

/** What must hold at every moment, judged by what the devices really do. */
export class FleetInvariants {
  readonly #world: FleetWorld;
  /** Devices that were moved out of the group while they were at risk, and still are. */
  readonly #strayed = new Set<string>();
  readonly #limits: { readonly untilMs: number; readonly limit: number }[] = [];
  readonly #revisions = new Map<string, number>();
  readonly #boots = new Map<string, number>();
  /** By device and start of its agent. */
  readonly #obeyed = new Map<string, number>();
  /** By device and start of its agent. */
  readonly #noneSinceMs = new Map<string, number>();
  readonly #lastConnectedMs = new Map<string, number>();

  constructor(world: FleetWorld) {
    this.#world = world;
  }

  /** After everything that happens. */
  check(): void {
    for (const device of this.#world.devices) {
      this.#checkServing(device);
      this.#checkMemory(device);
    }
    this.#checkUnavailable();
  }

  /** The controller has the last report of every device, whatever it was told before. */
  checkHeard(): void {
    for (const { name, agent } of this.#world.devices) {
      const known = this.#world.controller.record.devices.get(name)?.status.report ?? null;
      if (agent === undefined || known?.boot === agent.boot) continue;
      const message = `${name} speaks since start ${agent.boot}, known is ${known?.boot ?? 'none'}`;
      throw new Violation('LastWordCounts', message);
    }
  }

  /** What a plan asks of devices, whether or not its saving comes off. */
  checkPlan({ facts, plan }: Reconciled): void {
    const limit = limitOf(facts.rollout.spec.strategy.maxUnavailable, facts.devices.length);
    this.#limits.push({ untilMs: this.#world.time.nowMs + LIMIT_MEMORY_MS, limit });
    const asked = plan.actions.filter((action) => action.kind === 'SetDesired');
    // A changed spec takes back that an older one was given up.
    const isStopped = facts.rollout.spec.paused || plan.status.abandoned !== null;
    // As the plan has read them: in the record they have been asked already.
    const known = new Map(facts.devices.map((device) => [device.metadata.name, device]));
    for (const action of asked) {
      const object = known.get(action.device);
      if (object === undefined) continue;
      this.#checkAsked(action, { object, artifactId: plan.status.artifactId, isStopped });
    }
    const progressing = plan.status.conditions.find(({ type }) => type === 'Progressing');
    if (progressing === undefined || progressing.message === '') {
      throw new Violation('SaysWhy', `phase ${plan.status.phase} without a reason`);
    }
  }

  #checkAsked(
    action: Extract<RolloutAction, { kind: 'SetDesired' }>,
    of: { object: Device; artifactId: string | null; isStopped: boolean },
  ): void {
    const { object } = of;
    const device = this.#world.devices.find(({ name }) => name === action.device);
    if (device === undefined || action.target === null) return;
    const before = object.status.desired;
    const wanted = action.target.artifact.id;
    const isNew = before?.target?.artifact.id !== wanted;
    const isOurs = wanted === of.artifactId;
    // One on its way goes back to what it serves.
    const serves = object.status.report?.active?.artifactId === wanted;
    if ((object.spec.pinned || object.spec.quarantined) && isNew && !serves) {
      throw new Violation('PinnedStays', `${action.device} is asked for ${wanted}`);
    }
    if (of.isStopped && isOurs && isNew && !serves) {
      throw new Violation('StoppedStartsNothing', `${action.device} is started`);
    }
    if (bytesOf(action.target) > device.memoryBytes) {
      throw new Violation('OnlyFit', `${action.device} is asked for what does not fit`);
    }
  }

  #checkServing(device: SimulatedDevice): void {
    const { serving, agent } = device;
    if (device.isConnected) this.#lastConnectedMs.set(device.name, this.#world.time.nowMs);
    if (agent === undefined) return;
    this.#checkRevision(device);
    if (serving === null) {
      this.#checkNone(device);
      return;
    }
    this.#noneSinceMs.delete(`${device.name} ${device.boots}`);
    device.hasServed = true;
    const { artifact } = serving.target;
    const behaviour = this.#world.behaviourOf(artifact.id);
    if (serving.isClosed) throw new Violation('ServesOpenModels', device.name);
    if (!serving.wasIntact || behaviour.miscomputes || behaviour.kills) {
      const variant = this.#world.variantOf(artifact.id);
      throw new Violation('OnlyVerified', `${device.name} serves ${variant}`);
    }
  }

  /** A device never goes back to an older desired state: while it runs, nor on its disk. */
  #checkRevision(device: SimulatedDevice): void {
    const { desired, next } = device.agent?.situation ?? {};
    const life = `${device.name} ${device.boots}`;
    const obeyed = Math.max(desired?.revision ?? 0, next?.revision ?? 0);
    const before = this.#obeyed.get(life) ?? 0;
    if (obeyed < before) {
      throw new Violation('RevisionsGrow', `${device.name} obeys ${obeyed} after ${before}`);
    }
    this.#obeyed.set(life, obeyed);
    if (this.#boots.get(device.name) === device.boots) return;
    this.#boots.set(device.name, device.boots);
    const revision = device.journaledRevision;
    const known = this.#revisions.get(device.name) ?? 0;
    if (revision < known) {
      throw new Violation('RevisionsGrow', `${device.name} went from ${known} to ${revision}`);
    }
    this.#revisions.set(device.name, revision);
  }

  /** Once it has served a model, it serves one, but for the time in which it loads it again. */
  #checkNone(device: SimulatedDevice): void {
    const { nowMs } = this.#world.time;
    const isExcused =
      !device.hasServed || device.hasRotted || device.disk.isFull || device.disk.slowMs > 0;
    const isToldTo = device.agent?.situation.desired?.target === null;
    if (isToldTo) device.hasServed = false;
    if (isExcused || isToldTo) {
      this.#noneSinceMs.delete(`${device.name} ${device.boots}`);
      return;
    }
    const life = `${device.name} ${device.boots}`;
    const sinceMs = this.#noneSinceMs.get(life) ?? nowMs;
    this.#noneSinceMs.set(life, sinceMs);
    if (nowMs - sinceMs <= RESTORE_MS) return;
    throw new Violation(
      'NeverNone',
      `${device.name} has served no model for ${nowMs - sinceMs} ms`,
    );
  }

  #checkMemory(device: SimulatedDevice): void {
    const bytes = device.models.reduce((sum, model) => sum + bytesOf(model.target), 0);
    if (bytes <= device.memoryBytes) return;
    throw new Violation('FitsMemory', `${device.name} holds ${bytes} bytes of models`);
  }

  /** The budget is that of a group: whoever is moved out of it on its way is not counted on. */
  #hasStrayed({ name }: SimulatedDevice): boolean {
    const labels = this.#world.controller.record.devices.get(name)?.metadata.labels;
    if (labels?.fleet !== 'simulated') this.#strayed.add(name);
    return this.#strayed.has(name);
  }

  /** Devices that are down or at risk because the rollout let them go on. */
  #checkUnavailable(): void {
    const { controller, devices, time } = this.#world;
    const entry = controller.record.rollouts.get(ROLLOUT);
    if (entry === undefined) return;
    const { status, spec } = entry.rollout;
    while ((this.#limits[0]?.untilMs ?? Number.POSITIVE_INFINITY) < time.nowMs) {
      this.#limits.shift();
    }
    const limit = Math.max(0, ...this.#limits.map((each) => each.limit));
    const deadlineMs = spec.strategy.progressDeadlineSeconds * 1000;
    const atRisk = devices.filter((device) => {
      const { state, desired } = device.agent?.situation ?? {};
      const heardMs = time.nowMs - (this.#lastConnectedMs.get(device.name) ?? 0);
      const isAtRisk =
        state !== undefined &&
        AT_RISK.has(state) &&
        desired?.rollout === ROLLOUT &&
        desired.target?.artifact.id === status.artifactId;
      return isAtRisk && !this.#hasStrayed(device) && heardMs < deadlineMs;
    });
    for (const name of this.#strayed) {
      const device = devices.find((each) => each.name === name);
      if (!AT_RISK.has(device?.agent?.situation.state ?? 'Idle')) this.#strayed.delete(name);
    }
    if (atRisk.length <= limit || !Number.isFinite(limit)) return;
    const names = atRisk.map(({ name }) => name).join(', ');
    throw new Violation('MaxUnavailable', `${names} are at risk, at most ${limit} may be`);
  }
}

function limitOf(limit: CountOrPercent | null, selected: number): number {
  if (limit === null) return Number.POSITIVE_INFINITY;
  if (typeof limit === 'number') return limit;
  return Math.max(1, Math.ceil((Number.parseInt(limit, 10) * selected) / 100));
}
