import {
  SILENT_INTERVALS,
  UNKNOWN_STATUS,
  withPresence,
  withReport,
} from '../../../apps/controller/src/devices/device.plan.ts';
import { artifactTarget } from '../../../apps/controller/src/rollouts/acceptance.plan.ts';
import { footprintsOf } from '../../../apps/controller/src/rollouts/fitness.plan.ts';
import { planRollout } from '../../../apps/controller/src/rollouts/rollout.plan.ts';
import { initialStatus } from '../../../apps/controller/src/rollouts/rollout.status.plan.ts';
import type {
  RolloutAction,
  RolloutFacts,
  RolloutPlan,
  RolloutProgress,
} from '../../../apps/controller/src/rollouts/rollout.types.ts';
import { workDigest } from '../../../apps/controller/src/rollouts/work.digest.ts';
import { DistributionPlan } from '../../../libs/distribution/src/index.ts';
import {
  type Artifact,
  Bitmap,
  type Desired,
  type Device,
  LIMITS,
  type Member,
  type Model,
  type Presence,
  parseTopic,
  type Report,
  type Rollout,
  type RolloutSpec,
  SCHEMA_VERSION,
  selectorMatches,
  type Target,
  topics,
  type Want,
} from '../../../libs/protocol/src/index.ts';
import { exampleDevice, exampleRollout } from '../../support/fleet.examples.ts';
import type { SeededRandom } from './seeded.random.ts';
import type { Connection, SimulatedBroker } from './simulated.broker.ts';
import type { SimulatedArtifact } from './simulated.models.ts';
import type { VirtualTime } from './virtual.time.ts';

export interface RolloutEntry {
  rollout: Rollout;
  members: readonly Member[];
}

/** What the controller has told the outside world that it knows. It outlives every process. */
export interface ControllerRecord {
  readonly devices: Map<string, Device>;
  readonly rollouts: Map<string, RolloutEntry>;
}

export interface Reconciled {
  readonly facts: RolloutFacts;
  readonly plan: RolloutPlan;
}

export interface SimulatedControllerOptions {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly broker: SimulatedBroker;
  readonly model: Model;
  readonly artifacts: readonly SimulatedArtifact[];
  trace(line: string): void;
  onReconciled(done: Reconciled): void;
}

const SWEEP_MS = 10_000;
const PATIENCE_MS = 5000;
const PUBLISH_MS = 5;
const REPORT_INTERVAL_MS = 30_000;
const WAKE_MS = 20;

interface Process {
  readonly connection: Connection;
  readonly distribution: DistributionPlan;
  readonly listeningSinceMs: number;
  readonly waking: Set<string>;
  readonly stops: Set<() => void>;
  isPublishing: boolean;
}

/**
 * The controller with its real decisions (ingest, rollout plan, distribution plan) on a record that
 * survives and a process that does not.
 */
export class SimulatedController {
  readonly record: ControllerRecord = { devices: new Map(), rollouts: new Map() };
  /** Chance that a reconcile dies before it has saved, with half of its actions done. */
  crashChance = 0;
  readonly #options: SimulatedControllerOptions;
  #process: Process | undefined;

  constructor(options: SimulatedControllerOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { broker, time, trace } = this.#options;
    trace('controller: starts');
    const connection = broker.connect('controller');
    const process: Process = {
      connection,
      distribution: new DistributionPlan(),
      listeningSinceMs: time.nowMs,
      waking: new Set(),
      stops: new Set(),
      isPublishing: false,
    };
    this.#process = process;
    const on = (filter: string, take: (payload: unknown, device: string) => void) =>
      broker.subscribe(connection, filter, ({ topic, payload }) => {
        const parsed = parseTopic(topic);
        if (this.#process !== process || parsed === undefined || !('device' in parsed)) return;
        if (payload !== '') take(JSON.parse(payload), parsed.device);
      });
    on(topics.everyReport, (report) => this.#takeReport(report as Report));
    on(topics.everyPresence, (presence) => this.#takePresence(presence as Presence));
    on('entrofleet/v1/d/+/want', (want) => this.#takeWant(process, want as Want));
    connection.onConnected.add(() => this.wakeAll());
    this.#every(process, SWEEP_MS, () => this.#sweep(process));
    this.wakeAll();
  }

  kill(): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#options.trace('controller: dies');
    this.#process = undefined;
    for (const stop of process.stops) stop();
    this.#options.broker.drop(process.connection);
  }

  cut(): void {
    if (this.#process !== undefined) this.#options.broker.cut(this.#process.connection);
  }

  reconnect(): void {
    if (this.#process !== undefined) this.#options.broker.heal(this.#process.connection);
  }

  /** As PUT does: a rollout is made, or changed to this. */
  apply(name: string, spec: RolloutSpec): void {
    const known = this.record.rollouts.get(name);
    if (known === undefined) {
      const base = exampleRollout();
      const creationTimestamp = this.#options.time.instant();
      const metadata = { ...base.metadata, name, creationTimestamp };
      const rollout = { metadata, spec, status: initialStatus() };
      this.record.rollouts.set(name, { rollout, members: [] });
    } else {
      const { metadata } = known.rollout;
      const generation = metadata.generation + 1;
      known.rollout = { ...known.rollout, metadata: { ...metadata, generation }, spec };
    }
    this.wakeAll();
  }

  /** Pause, resume and the like. */
  act(
    name: string,
    change: (
      progress: RolloutProgress,
      spec: RolloutSpec,
    ) => { progress?: RolloutProgress; spec?: RolloutSpec },
  ): void {
    const entry = this.record.rollouts.get(name);
    if (entry === undefined) return;
    const { rollout, members } = entry;
    const { progress, spec } = change({ status: rollout.status, members }, rollout.spec);
    entry.rollout = {
      ...rollout,
      spec: spec ?? rollout.spec,
      status: progress?.status ?? rollout.status,
    };
    entry.members = progress?.members ?? members;
    this.wakeAll();
  }

  changeDevice(name: string, change: (device: Device) => Device): void {
    const device = this.record.devices.get(name);
    if (device === undefined) return;
    this.record.devices.set(name, change(device));
    this.wakeAll();
  }

  wakeAll(): void {
    for (const name of this.record.rollouts.keys()) this.#wake(name);
  }

  reconcile(name: string): void {
    const entry = this.record.rollouts.get(name);
    if (entry === undefined || this.#process === undefined) return;
    const facts = this.#facts(entry);
    const plan = planRollout(facts);
    const { random } = this.#options;
    const dies = random.chance(this.crashChance);
    const asked = plan.actions.filter((action) => action.kind !== 'EmitEvent');
    const done = dies ? Math.floor(asked.length * random.next()) : asked.length;
    for (const action of asked.slice(0, done)) this.#carryOut(action);
    this.#options.onReconciled({ facts, plan });
    if (dies) {
      this.kill();
      return;
    }
    entry.rollout = { ...entry.rollout, status: plan.status };
    entry.members = plan.members;
    for (const action of plan.actions) {
      if (action.kind === 'EmitEvent') {
        this.#options.trace(`event ${name}: ${action.reason}: ${action.message}`);
      }
    }
    if (plan.wakeAt !== null) {
      const waitMs = Math.max(1, Date.parse(plan.wakeAt) - this.#options.time.nowMs);
      const process = this.#process;
      process.stops.add(this.#options.time.after(waitMs, () => this.#wake(name)));
    }
  }

  #facts({ rollout, members }: RolloutEntry): RolloutFacts {
    const { model, artifacts, time } = this.#options;
    const { spec } = rollout;
    const devices = [...this.record.devices.values()].filter((device) =>
      selectorMatches(spec.selector, device.metadata.labels),
    );
    const others = [...this.record.rollouts.values()]
      .filter((other) => other.rollout.metadata.name !== rollout.metadata.name)
      .map(({ rollout: other }) => ({
        name: other.metadata.name,
        creationTimestamp: other.metadata.creationTimestamp,
        selector: other.spec.selector,
        isTurnedDown: false,
      }));
    return {
      rollout,
      members,
      model,
      artifacts: new Map(
        artifacts
          .filter(({ artifact: a }) => spec.variant === null || spec.variant === a.variant)
          .map(({ artifact: a }) => [a.variant, a]),
      ),
      devices,
      others,
      footprints: footprintsOf(artifacts.map(({ artifact: a }) => a)),
      earlierTargets: new Map(artifacts.map(({ artifact: a }) => [a.id, targetOf(a)])),
      specDigest: workDigest(spec, model),
      now: time.instant(),
    };
  }

  #carryOut(action: RolloutAction): void {
    const { devices } = this.record;
    if (action.kind === 'SetPenalty') {
      const device = devices.get(action.device);
      if (device === undefined) return;
      const { penalty } = action;
      if (penalty !== null && device.status.penalty?.revision === penalty.revision) return;
      const status = { ...device.status, penalty };
      devices.set(action.device, { ...device, status });
    }
    if (action.kind !== 'SetDesired') return;
    const device = devices.get(action.device);
    if (device === undefined) return;
    const { desired, report } = device.status;
    if ((desired?.revision ?? 0) !== action.seenRevision) return;
    const next: Desired = {
      schemaVersion: SCHEMA_VERSION,
      device: action.device,
      revision: Math.max(desired?.revision ?? 0, report?.observedRevision ?? 0) + 1,
      rollout: action.rollout,
      attempt: action.attempt,
      target: action.target,
      issuedAt: this.#options.time.instant(),
      hold: action.hold,
      ...(action.timeouts === undefined ? {} : { timeouts: action.timeouts }),
      ...(action.onAbandon === undefined ? {} : { onAbandon: action.onAbandon }),
    };
    const status = { ...device.status, desired: next, previous: action.previous };
    devices.set(action.device, { ...device, status });
    this.#publishDesired(next);
  }

  #publishDesired(desired: Desired): void {
    const process = this.#process;
    if (process === undefined) return;
    const message = { topic: topics.desired(desired.device), payload: JSON.stringify(desired) };
    this.#options.broker.publish(process.connection, message, { retain: true });
  }

  #takeReport(report: Report): void {
    const { devices } = this.record;
    const known = devices.get(report.device);
    const device = known ?? {
      ...exampleDevice(report.device, UNKNOWN_STATUS),
      metadata: { ...exampleDevice(report.device).metadata, labels: report.labels },
    };
    const now = this.#options.time.instant();
    const status = withReport(device.status, { report, generation: 1, now });
    if (status === undefined) return;
    const labels = { ...report.labels, ...device.spec.labels };
    devices.set(report.device, { ...device, metadata: { ...device.metadata, labels }, status });
    this.wakeAll();
  }

  #takePresence(presence: Presence): void {
    const device = this.record.devices.get(presence.device);
    if (device === undefined) return;
    const status = withPresence(device.status, presence, this.#options.time.instant());
    if (status === undefined) return;
    this.record.devices.set(presence.device, { ...device, status });
    this.wakeAll();
  }

  #takeWant(process: Process, want: Want): void {
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    process.distribution.want({ ...want, headerChunks: 1, lacking }, this.#options.time.nowMs);
    this.#publishChunks(process);
  }

  /** One chunk after the other, as long as somebody lacks one. */
  #publishChunks(process: Process): void {
    if (process.isPublishing || this.#process !== process) return;
    const { nowMs } = this.#options.time;
    const chunk = process.connection.connected ? process.distribution.next(nowMs) : undefined;
    const wakeMs = chunk === undefined ? process.distribution.wakeMs() : nowMs + PUBLISH_MS;
    if (chunk !== undefined) {
      const topic = topics.chunk(chunk.artifact, chunk.index);
      this.#options.broker.publish(process.connection, { topic, payload: 'chunk' });
    }
    if (wakeMs === undefined) return;
    process.isPublishing = true;
    const again = this.#options.time.after(Math.max(1, wakeMs - nowMs), () => {
      process.isPublishing = false;
      this.#publishChunks(process);
    });
    process.stops.add(again);
  }

  /** Makes up for messages that were lost: desired states, and last wills. */
  #sweep(process: Process): void {
    const { nowMs } = this.#options.time;
    for (const [name, device] of this.record.devices) {
      const { online, lastSeen, desired, report } = device.status;
      if (!online) continue;
      const sinceMs = Math.max(Date.parse(lastSeen ?? ''), process.listeningSinceMs);
      const isBehind = desired !== null && (report?.observedRevision ?? 0) < desired.revision;
      if (nowMs - sinceMs > SILENT_INTERVALS * REPORT_INTERVAL_MS) {
        this.record.devices.set(name, { ...device, status: { ...device.status, online: false } });
      } else if (isBehind && nowMs - Date.parse(desired.issuedAt) > PATIENCE_MS) {
        this.#publishDesired(desired);
      }
    }
    this.wakeAll();
  }

  /** One job for each rollout, however often it is woken. */
  #wake(name: string): void {
    const process = this.#process;
    if (process === undefined || process.waking.has(name)) return;
    process.waking.add(name);
    const { time, random } = this.#options;
    const stop = time.after(WAKE_MS * (1 + random.next()), () => {
      process.waking.delete(name);
      if (this.#process === process) this.reconcile(name);
    });
    process.stops.add(stop);
  }

  #every(process: Process, everyMs: number, action: () => void): void {
    const again = (): void => {
      const stop = this.#options.time.after(everyMs, () => {
        if (this.#process !== process) return;
        action();
        again();
      });
      process.stops.add(stop);
    };
    again();
  }
}

function targetOf(artifact: Artifact): Target {
  return artifactTarget(artifact, {
    contextLength: LIMITS.contextLengthDefault,
    samplePrompt: null,
  });
}
