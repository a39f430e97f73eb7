import { resumed, retried } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
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
  Report,
  Rollout,
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
  | { readonly kind: 'Join' | 'Pause' | 'Resume' | 'Retry' };

interface SimulatedDevice {
  readonly name: string;
  readonly memoryBytes: number;
  online: boolean;
  /** What the agent works on, and how far it is. */
  desired: Desired | null;
  phase: Report['phase'];
  sequence: number;
  /** The controller's record of it. */
  record: Device['status'];
}

const NEXT: Partial<Record<Report['phase'], Report['phase']>> = {
  Downloading: 'Verifying',
  Verifying: 'Decoding',
  Decoding: 'Testing',
  Testing: 'Active',
};
const START_MS = Date.parse('2026-11-21T08:00:00.000Z');

/** A rollout over devices that lose messages, break, leave and return. */
export class SimulatedFleet {
  readonly devices: SimulatedDevice[] = [];
  rollout: Rollout;
  members: readonly Member[] = [];
  #nowMs = START_MS;

  constructor(options: { devices: number; unfit: number; waves: WaveSpec[] }) {
    this.rollout = exampleRollout({ strategy: { waves: options.waves } });
    for (let i = 0; i < options.devices; i++) this.#join(i < options.unfit);
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
    const { spec } = this.rollout;
    if (step.kind === 'Join') this.#join(false);
    if (step.kind === 'Pause') this.rollout = { ...this.rollout, spec: { ...spec, paused: true } };
    if (step.kind === 'Retry') this.#save(retried(this.progress, this.#now()));
    if (step.kind === 'Resume') {
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
      earlierTargets: new Map(),
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
    this.run({ kind: 'Resume' });
    for (let round = 0; round < 40 * this.devices.length; round++) {
      this.run({ kind: 'Retry' });
      for (const device of this.devices) {
        for (const kind of ['Online', 'Deliver', 'Work', 'Report'] as const) {
          this.#runOn(device, kind);
        }
      }
      this.run({ kind: 'Reconcile', crash: 'no' });
      if (this.rollout.status.phase === 'Complete' && !this.#isBehind()) return;
    }
  }

  #save({ status, members }: RolloutProgress): void {
    this.rollout = { ...this.rollout, status };
    this.members = members;
  }

  #isBehind(): boolean {
    return this.devices.some((device) => device.memoryBytes > 1e9 && device.phase !== 'Active');
  }

  #runOn(device: SimulatedDevice, kind: Extract<Step, { device: number }>['kind']): void {
    if (kind === 'Online' || kind === 'Offline') {
      device.online = kind === 'Online';
      device.record = { ...device.record, online: device.online };
      if (kind === 'Online') this.#report(device);
    }
    if (!device.online) return;
    if (kind === 'Deliver') this.#deliver(device);
    if (kind === 'Report') this.#report(device);
    if (kind === 'Work') device.phase = NEXT[device.phase] ?? device.phase;
    if (kind === 'Break' && device.phase !== 'Idle') device.phase = 'Failed';
  }

  #deliver(device: SimulatedDevice): void {
    const asked = device.record.desired;
    if (asked === null || asked.revision <= (device.desired?.revision ?? 0)) return;
    device.desired = asked;
    if (device.phase !== 'Active') device.phase = 'Downloading';
  }

  #report(device: SimulatedDevice): void {
    const target = device.desired?.target ?? null;
    const identity = target && {
      model: target.model,
      variant: target.variant,
      artifactId: target.artifact.id,
    };
    const capabilities = { ...exampleReport('x').capabilities, memoryBytes: device.memoryBytes };
    const report = exampleReport(device.name, {
      sequence: ++device.sequence,
      capabilities,
      observedRevision: device.desired?.revision ?? 0,
      observedAttempt: device.desired?.attempt ?? 0,
      phase: device.phase,
      target: identity,
      active: device.phase === 'Active' ? identity : null,
      error: device.phase === 'Failed' ? { reason: 'Broken', message: 'it broke' } : null,
    });
    device.record = { ...device.record, report, lastSeen: this.#now() };
  }

  #carryOut(action: RolloutAction): void {
    if (action.kind !== 'SetDesired') return;
    const device = this.devices.find((d) => d.name === action.device);
    if (device === undefined) return;
    const revision = device.record.desired?.revision ?? 0;
    if (revision !== action.seenRevision) return;
    const desired: Desired = {
      schemaVersion: 1,
      device: device.name,
      revision: revision + 1,
      rollout: action.rollout,
      attempt: action.attempt,
      target: action.target,
      issuedAt: this.#now(),
    };
    device.record = { ...device.record, desired };
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
      desired: null,
      phase: 'Idle',
      sequence: 0,
      record,
    };
    this.#report(device);
    this.devices.push(device);
  }

  #object(device: SimulatedDevice): Device {
    return { ...exampleDevice(device.name), status: device.record };
  }

  #now(): string {
    return new Date(this.#nowMs).toISOString();
  }
}
