import { artifactTarget } from '../../apps/controller/src/rollouts/acceptance.plan.ts';
import { planRollout } from '../../apps/controller/src/rollouts/rollout.plan.ts';
import type {
  RolloutFacts,
  RolloutPlan,
  RolloutProgress,
} from '../../apps/controller/src/rollouts/rollout.types.ts';
import { type Device, type Report, strategySchema } from '../../libs/protocol/src/index.ts';
import {
  digest,
  exampleArtifact,
  exampleDevice,
  exampleModel,
  exampleReport,
  exampleRollout,
  NOW,
} from '../support/fleet.examples.ts';

export function facts(change: Partial<RolloutFacts> = {}): RolloutFacts {
  return {
    rollout: exampleRollout(),
    members: [],
    model: exampleModel(),
    artifacts: new Map([['u8', exampleArtifact()]]),
    devices: [exampleDevice('a'), exampleDevice('b'), exampleDevice('c')],
    others: [],
    footprints: new Map(),
    earlierTargets: new Map(),
    specDigest: 'one',
    now: NOW,
    ...change,
  };
}

export function startedIn(plan: RolloutPlan): string[] {
  return plan.actions.flatMap((action) => (action.kind === 'SetDesired' ? [action.device] : []));
}

export function condition(plan: RolloutPlan, type: string) {
  return plan.status.conditions.find((c) => c.type === type);
}

export function stateOf(plan: RolloutPlan, device: string) {
  return plan.members.find((m) => m.device === device)?.state;
}

/** The facts after the plan was carried out. */
export function carriedOut(before: RolloutFacts, plan: RolloutPlan): RolloutFacts {
  const devices = before.devices.map((device): Device => {
    const action = plan.actions.find(
      (a) => a.kind === 'SetDesired' && a.device === device.metadata.name,
    );
    if (action?.kind !== 'SetDesired') return device;
    const desired = {
      schemaVersion: 1 as const,
      device: action.device,
      revision: action.seenRevision + 1,
      rollout: action.rollout,
      attempt: action.attempt,
      target: action.target,
      hold: action.hold,
      ...(action.onAbandon === undefined ? {} : { onAbandon: action.onAbandon }),
      issuedAt: before.now,
    };
    return { ...device, status: { ...device.status, desired, previous: action.previous } };
  });
  return { ...saved(before, plan), devices };
}

/** The facts after status and members were saved. */
export function saved(before: RolloutFacts, { status, members }: RolloutProgress): RolloutFacts {
  return { ...before, rollout: { ...before.rollout, status }, members };
}

/** What an action on a rollout starts from. */
export function progress({ rollout, members }: RolloutFacts): RolloutProgress {
  return { status: rollout.status, members };
}

/** The device has answered what was asked of it. */
export function answered(
  before: RolloutFacts,
  name: string,
  change: Partial<Report>,
  status: Partial<Device['status']> = {},
): RolloutFacts {
  const devices = before.devices.map((device) => {
    if (device.metadata.name !== name) return device;
    const target = device.status.desired?.target;
    const identity = target && {
      model: target.model,
      variant: target.variant,
      artifactId: target.artifact.id,
    };
    const report = exampleReport(name, {
      observedRevision: device.status.desired?.revision ?? 0,
      target: identity ?? null,
      active: change.phase === 'Active' ? (identity ?? null) : null,
      ...change,
    });
    return { ...device, status: { ...device.status, report, ...status } };
  });
  return { ...before, devices };
}

export const OLD = { model: 'stories', variant: 'u8', artifactId: digest('old') };
export const NEW = { ...OLD, artifactId: digest('artifact') };
export const FAILED: Partial<Report> = {
  phase: 'Failed',
  error: { reason: 'DiskFull', message: 'no space left' },
};

export function at(seconds: number): string {
  return new Date(Date.parse(NOW) + seconds * 1000).toISOString();
}

export function running(name: string, change: Partial<Device['status']> = {}): Device {
  return exampleDevice(name, { report: exampleReport(name, { active: OLD }), ...change });
}

/** A rollout over devices that run another model. */
export function world(strategy: object, names = ['a', 'b', 'c']): RolloutFacts {
  const artifact = exampleArtifact({ id: OLD.artifactId });
  const target = artifactTarget(artifact, { contextLength: 1024, samplePrompt: null });
  return facts({
    rollout: exampleRollout({ strategy: strategySchema.parse(strategy) }),
    devices: names.map((name) => running(name)),
    earlierTargets: new Map([[OLD.artifactId, target]]),
  });
}

/** One look at the rollout, carried out. */
export function look(before: RolloutFacts, seconds = 0): { plan: RolloutPlan; now: RolloutFacts } {
  const current = { ...before, now: at(seconds) };
  const plan = planRollout(current);
  return { plan, now: carriedOut(current, plan) };
}

export function says(before: RolloutFacts, name: string, change: Partial<Report>, seconds = 0) {
  return answered(before, name, { active: OLD, ...change }, { lastSeen: at(seconds) });
}

export function runs(
  before: RolloutFacts,
  name: string,
  seconds = 0,
  change: Partial<Report> = {},
) {
  return says(before, name, { phase: 'Active', active: NEW, ...change }, seconds);
}

export function reason(plan: RolloutPlan) {
  return condition(plan, 'Progressing')?.reason;
}

export function message(plan: RolloutPlan): string {
  return condition(plan, 'Progressing')?.message ?? '';
}

export function member(plan: RolloutPlan, device: string) {
  return plan.members.find((each) => each.device === device);
}

export function told(plan: RolloutPlan, device: string) {
  return plan.actions.find((a) => a.kind === 'SetDesired' && a.device === device);
}
