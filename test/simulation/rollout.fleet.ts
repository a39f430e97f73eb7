import { artifactTarget } from '../../apps/controller/src/rollouts/acceptance.plan.ts';
import {
  aborted,
  approved,
  resumed,
  retried,
} from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import { planRollout } from '../../apps/controller/src/rollouts/rollout.plan.ts';
import type {
  RolloutAction,
  RolloutPlan,
  RolloutProgress,
} from '../../apps/controller/src/rollouts/rollout.types.ts';
import type {
  Desired,
  Device,
  Member,
  ModelIdentity,
  Report,
  Rollout,
  Strategy,
  Target,
  WaveSpec,
} from '../../libs/protocol/src/index.ts';
import {
  exampleArtifact,
  exampleDevice,
  exampleModel,
  exampleReport,
  exampleRollout,
} from '../support/fleet.examples.ts';

/** One thing that happens in the simulated fleet. */
export type Step =
  | { readonly kind: 'Reconcile'; readonly crash: 'no' | 'before-save' | 'half-way' }
  | { readonly kind: 'Deliver' | 'Work' | 'Report' | 'Break'; readonly device: number }
  | { readonly kind: 'Online' | 'Offline'; readonly device: number }
  | { readonly kind: 'Join' | 'Pause' | 'Resume' | 'Retry' | 'Approve' | 'Abort' }
  | { readonly kind: 'Wait'; readonly seconds: number }
  /** The devices whose bit is set hear, work and report. */
  | { readonly kind: 'Round'; readonly mask: number };

export interface SimulatedDevice {
  readonly name: string;
  readonly memoryBytes: number;
  online: boolean;
  /** When it went offline last; in milliseconds. */
  offlineSinceMs: number;
  /** What the agent works on, how far it is, and what serves. */
  desired: Desired | null;
  next: Desired | null;
  phase: Report['phase'];
  active: ModelIdentity | null;
  sequence: number;
  /** The controller's record of it. */
  record: Device['status'];
}

/** Phases in which nothing has been stopped for the new model. */
const AHEAD: Partial<Record<Report['phase'], Report['phase']>> = {
  Downloading: 'Verifying',
  Verifying: 'Staged',
  Staged: 'Decoding',
};
const AT_RISK: Partial<Record<Report['phase'], Report['phase']>> = {
  Decoding: 'Testing',
  Testing: 'Activating',
  Activating: 'Active',
};
const START_MS = Date.parse('2026-11-21T08:00:00.000Z');

/** A rollout over devices that lose messages, break, leave and return. */
export class SimulatedFleet {
  readonly devices: SimulatedDevice[] = [];
  rollout: Rollout;
  members: readonly Member[] = [];
  #nowMs = START_MS;
  readonly #before: ModelIdentity | null;

  constructor(options: {
    devices: number;
    unfit: number;
    waves: WaveSpec[];
    strategy?: Partial<Strategy>;
    /** What the devices run before; default: nothing. */
    before?: ModelIdentity;
  }) {
    const { waves, strategy = {} } = options;
    this.#before = options.before ?? null;
    this.rollout = exampleRollout({ strategy: { waves, ...strategy } });
    for (let i = 0; i < options.devices; i++) this.#join(i < options.unfit);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** @returns the plan, for a reconcile. */
  run(step: Step): RolloutPlan | undefined {
    this.#nowMs += 1000;
    if (step.kind === 'Reconcile') return this.reconcile(step.crash);
    if ('device' in step) {
      const device = this.devices[step.device % this.devices.length];
      if (device !== undefined) this.#runOn(device, step.kind);
      return undefined;
    }
    if (step.kind === 'Round') this.#round(step.mask);
    if (step.kind === 'Wait') this.#nowMs += step.seconds * 1000;
    const { spec } = this.rollout;
    if (step.kind === 'Approve') {
      this.#save(approved(this.progress, this.rollout.status.currentWave + 1));
    }
    if (step.kind === 'Abort')
      this.#save(aborted(this.progress, { now: this.#now(), generation: 1 }));
    if (step.kind === 'Join') this.#join(false);
    if (step.kind === 'Pause') this.rollout = { ...this.rollout, spec: { ...spec, paused: true } };
    if (step.kind === 'Retry') this.#save(retried(this.progress, this.#now()));
    if (step.kind === 'Resume' && this.rollout.status.abandoned === null) {
      this.rollout = { ...this.rollout, spec: { ...spec, paused: false } };
      this.#save(resumed(this.progress, this.#now()));
    }
    return undefined;
  }

  get progress(): RolloutProgress {
    return { status: this.rollout.status, members: this.members };
  }

  reconcile(crash: 'no' | 'before-save' | 'half-way' = 'no'): RolloutPlan {
    const plan = planRollout({
      rollout: this.rollout,
      members: this.members,
      model: exampleModel(),
      artifacts: new Map([['u8', exampleArtifact()]]),
      devices: this.devices.map((device) => this.#object(device)),
      others: [],
      footprints: new Map(),
      earlierTargets: this.#earlierTargets(),
      specDigest: 'one',
      now: this.#now(),
    });
    const done = crash === 'half-way' ? Math.floor(plan.actions.length / 2) : plan.actions.length;
    for (const action of plan.actions.slice(0, done)) this.#carryOut(action);
    if (crash === 'no') this.#save(plan);
    return plan;
  }

  /** Everybody is online, nothing is lost, nothing breaks any more. */
  heal(): void {
    for (let round = 0; round < 40 * this.devices.length; round++) {
      this.run({ kind: 'Retry' });
      if (this.rollout.spec.paused) this.run({ kind: 'Resume' });
      for (const device of this.devices) {
        for (const kind of ['Online', 'Deliver', 'Work', 'Report'] as const) {
          this.#runOn(device, kind);
        }
      }
      this.run({ kind: 'Wait', seconds: 15 });
      this.run({ kind: 'Reconcile', crash: 'no' });
      if (this.#reason() === 'AwaitingApproval') this.run({ kind: 'Approve' });
      if (this.rollout.status.phase === 'Complete' && !this.#isBehind()) return;
    }
  }

  #reason(): string | undefined {
    return this.rollout.status.conditions.find(({ type }) => type === 'Progressing')?.reason;
  }

  #save({ status, members }: RolloutProgress): void {
    this.rollout = { ...this.rollout, status };
    this.members = members;
  }

  #round(mask: number): void {
    const chosen = this.devices.filter((_, index) => ((mask >> index) & 1) === 1);
    for (const device of chosen) {
      for (const kind of ['Deliver', 'Work', 'Report'] as const) this.#runOn(device, kind);
    }
  }

  #isBehind(): boolean {
    return this.devices.some((device) => device.memoryBytes > 1e9 && device.phase !== 'Active');
  }

  #runOn(device: SimulatedDevice, kind: Extract<Step, { device: number }>['kind']): void {
    if (kind === 'Online' || kind === 'Offline') {
      if (device.online && kind === 'Offline') device.offlineSinceMs = this.#nowMs;
      device.online = kind === 'Online';
      device.record = { ...device.record, online: device.online };
      if (kind === 'Online') this.#report(device);
    }
    if (!device.online) return;
    if (kind === 'Deliver') this.#deliver(device);
    if (kind === 'Report') this.#report(device);
    if (kind === 'Work') this.#work(device);
    if (kind === 'Break' && device.phase !== 'Idle') this.#break(device);
  }

  #work(device: SimulatedDevice): void {
    const hold = device.desired?.hold ?? 'None';
    if (device.phase === 'Downloading' && hold === 'Download') return;
    if (device.phase === 'Staged' && hold !== 'None') return;
    device.phase = AHEAD[device.phase] ?? AT_RISK[device.phase] ?? device.phase;
    if (device.phase === 'Active') {
      device.active = identityOf(device.desired?.target ?? null);
      this.#turn(device);
    }
  }

  /** An update that fails leaves what served; a new model that serves badly is given up. */
  #break(device: SimulatedDevice): void {
    if (device.phase === 'Active') device.active = this.#before;
    device.phase = 'Failed';
    this.#turn(device);
  }

  /** What has waited for the end of an update. */
  #turn(device: SimulatedDevice): void {
    const { next } = device;
    device.next = null;
    if (next !== null) this.#take(device, next);
  }

  /** As the agent's table does it: the same work goes on, other work starts over. */
  #deliver(device: SimulatedDevice): void {
    const asked = device.record.desired;
    if (asked === null || asked.revision <= (device.desired?.revision ?? 0)) return;
    const { desired } = device;
    const isSame = desired?.target?.artifact.id === asked.target?.artifact.id;
    const isUnderway = device.phase in AHEAD || device.phase in AT_RISK;
    const isSettled = device.phase === 'Failed' && desired?.attempt === asked.attempt;
    if (isSame && (isUnderway || isSettled)) device.desired = asked;
    else if (device.phase in AT_RISK && asked.onAbandon === 'Finish') device.next = asked;
    else this.#take(device, asked);
  }

  #take(device: SimulatedDevice, asked: Desired): void {
    device.desired = asked;
    const { target } = asked;
    if (target === null) {
      device.active = null;
      device.phase = 'Idle';
    } else if (device.active?.artifactId === target.artifact.id) device.phase = 'Active';
    else device.phase = 'Downloading';
  }

  #report(device: SimulatedDevice): void {
    const identity = identityOf(device.desired?.target ?? null);
    const capabilities = { ...exampleReport('x').capabilities, memoryBytes: device.memoryBytes };
    const report = exampleReport(device.name, {
      sequence: ++device.sequence,
      capabilities,
      observedRevision: device.desired?.revision ?? 0,
      observedAttempt: device.desired?.attempt ?? 0,
      phase: device.phase,
      target: identity,
      active: device.active,
      error: device.phase === 'Failed' ? { reason: 'Broken', message: 'it broke' } : null,
    });
    device.record = { ...device.record, report, lastSeen: this.#now() };
  }

  #carryOut(action: RolloutAction): void {
    if (action.kind !== 'SetDesired' && action.kind !== 'SetPenalty') return;
    const device = this.devices.find((d) => d.name === action.device);
    if (device === undefined) return;
    if (action.kind === 'SetPenalty') {
      device.record = { ...device.record, penalty: action.penalty };
      return;
    }
    const revision = device.record.desired?.revision ?? 0;
    if (revision !== action.seenRevision) return;
    const desired: Desired = {
      schemaVersion: 1,
      device: device.name,
      revision: revision + 1,
      rollout: action.rollout,
      attempt: action.attempt,
      target: action.target,
      hold: action.hold,
      ...(action.onAbandon === undefined ? {} : { onAbandon: action.onAbandon }),
      issuedAt: this.#now(),
    };
    device.record = { ...device.record, desired, previous: action.previous };
  }

  #join(isUnfit: boolean): void {
    // Names run backwards, so that late joiners sort before those that were there.
    const name = `d${String(999 - this.devices.length)}`;
    const memoryBytes = isUnfit ? 1024 : 8e9;
    const record = exampleDevice(name).status;
    const device: SimulatedDevice = {
      name,
      memoryBytes,
      online: true,
      offlineSinceMs: 0,
      desired: null,
      next: null,
      phase: 'Idle',
      active: this.#before,
      sequence: 0,
      record,
    };
    this.#report(device);
    this.devices.push(device);
  }

  #earlierTargets(): Map<string, Target> {
    if (this.#before === null) return new Map();
    const { artifactId, variant } = this.#before;
    const artifact = exampleArtifact({ id: artifactId, variant });
    const target = artifactTarget(artifact, { contextLength: 1024, samplePrompt: null });
    return new Map([[artifactId, target]]);
  }

  #object(device: SimulatedDevice): Device {
    return { ...exampleDevice(device.name), status: device.record };
  }

  #now(): string {
    return new Date(this.#nowMs).toISOString();
  }
}

function identityOf(target: Target | null): ModelIdentity | null {
  if (target === null) return null;
  return { model: target.model, variant: target.variant, artifactId: target.artifact.id };
}
