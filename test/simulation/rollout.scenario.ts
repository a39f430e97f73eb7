import type {
  RolloutFacts,
  RolloutPlan,
  RolloutProgress,
} from '../../apps/controller/src/rollouts/rollout.types.ts';
import type { Device, Report } from '../../libs/protocol/src/index.ts';
import {
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
    return { ...device, status: { ...device.status, desired } };
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
