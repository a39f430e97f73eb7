import type { Owner } from '@entrofleet/protocol';
import { describe, expect, it } from 'vitest';
import {
  isApplied,
  type KubernetesActor,
  ownerAfterApply,
  ownershipFault,
  REST,
} from './ownership.rule.ts';

const actor: KubernetesActor = {
  manager: 'Kubernetes',
  namespace: 'fleet',
  name: 'demo',
  uid: 'u1',
  generation: 4,
  adopt: false,
};
const { adopt, ...identity } = actor;
const owner: Owner = { ...identity, appliedGeneration: 2 };
const rollout = (of: Owner | null) => ({ kind: 'rollout', name: 'demo', owner: of });

describe('ownershipFault', () => {
  it('leaves to REST what nobody owns', () => {
    for (const change of ['change', 'delete', 'pause', 'resume', 'undo'] as const) {
      expect(ownershipFault(rollout(null), REST, change)).toBeUndefined();
    }
  });

  it.each([
    ['change', 'kubectl -n fleet edit rollout demo'],
    ['delete', 'kubectl -n fleet delete rollout demo'],
    ['pause', `patch rollout demo --type merge -p '{"spec":{"paused":true}}'`],
    ['resume', `patch rollout demo --type merge -p '{"spec":{"paused":false}}'`],
    ['undo', 'kubectl -n fleet edit rollout demo, with the spec of the revision'],
  ] as const)('turns REST down and says what to do: %s', (change, command) => {
    const fault = ownershipFault(rollout(owner), REST, change);
    expect(fault?.reason).toBe('OwnedByKubernetes');
    expect(fault?.message).toContain('rollout fleet/demo');
    expect(fault?.message).toContain(command);
  });

  it('lets a resource change its own, also when it was made anew', () => {
    expect(ownershipFault(rollout(owner), actor, 'change')).toBeUndefined();
    const another = { ...actor, uid: 'u2', generation: 1 };
    expect(ownershipFault(rollout(owner), another, 'change')).toBeUndefined();
  });

  it('lets a resource take over what is not its own only when it says so', () => {
    expect(ownershipFault(rollout(null), actor, 'change')).toMatchObject({
      reason: 'OwnedByRest',
      message: expect.stringContaining('entrofleet.io/adopt=true'),
    });
    const elsewhere = { ...owner, namespace: 'other' };
    expect(ownershipFault(rollout(elsewhere), actor, 'change')).toMatchObject({
      reason: 'OwnedByKubernetes',
      message: expect.stringContaining('other/demo'),
    });
    for (const other of [null, elsewhere]) {
      expect(ownershipFault(rollout(other), { ...actor, adopt: true }, 'change')).toBeUndefined();
    }
  });

  it('lets only the very same resource delete', () => {
    expect(ownershipFault(rollout(owner), actor, 'delete')).toBeUndefined();
    for (const other of [null, { ...owner, uid: 'u2' }]) {
      const fault = ownershipFault(rollout(other), { ...actor, adopt: true }, 'delete');
      expect(fault).toBeDefined();
    }
  });
});

describe('ownerAfterApply', () => {
  const current = { metadata: { generation: 7 }, spec: { model: 'a', note: undefined } };

  it('says which generation the spec becomes', () => {
    expect(ownerAfterApply(actor, current, { model: 'a' })).toEqual({
      ...identity,
      appliedGeneration: 7,
    });
    expect(ownerAfterApply(actor, current, { model: 'b' })?.appliedGeneration).toBe(8);
  });

  it('is nobody after REST', () => {
    expect(ownerAfterApply(REST, current, { model: 'b' })).toBeNull();
  });
});

describe('isApplied', () => {
  const labels = { site: 'berlin' };

  it('tells generation, identity and labels apart', () => {
    expect(isApplied({ owner, labels }, actor, labels)).toBe(true);
    expect(isApplied({ owner: null, labels }, actor, labels)).toBe(false);
    expect(isApplied({ owner, labels }, { ...actor, generation: 5 }, labels)).toBe(false);
    expect(isApplied({ owner, labels }, { ...actor, uid: 'u2' }, labels)).toBe(false);
    expect(isApplied({ owner, labels }, actor, {})).toBe(false);
  });
});
