import type { Condition, Owner } from '@entrofleet/protocol';
import { describe, expect, it } from 'vitest';
import { exampleRollout } from '../../../../test/support/fleet.examples.ts';
import type { KubeObject } from './kube.object.ts';
import { statusDifference, statusPauseMs } from './status.difference.ts';
import { projectedStatus } from './status.projection.ts';
import type { Verdict } from './sync.plan.ts';

const NOW = '2026-11-21T08:00:00.000Z';
const EARLIER = '2026-11-21T07:00:00.000Z';
const APPLIED: Verdict = { synced: 'Applied' };

function condition(change: Partial<Condition>): Condition {
  return {
    type: 'Complete',
    status: 'True',
    reason: 'Complete',
    message: 'all',
    lastTransitionTime: EARLIER,
    observedGeneration: 1,
    ...change,
  };
}

function owner(change: Partial<Owner> = {}): Owner {
  return {
    manager: 'Kubernetes',
    ...{ namespace: 'default', name: 'demo', uid: 'u1' },
    ...{ generation: 5, appliedGeneration: 3, ...change },
  };
}

function resource(generation: number, status?: object): KubeObject {
  const metadata = { name: 'demo', namespace: 'default', uid: 'u1', resourceVersion: '9' };
  const lists = { finalizers: [], labels: {}, annotations: {} };
  return { metadata: { ...metadata, generation, ...lists }, spec: {}, status };
}

const rollout = (observed: number, conditions: readonly Condition[] = []) => ({
  ...exampleRollout().status,
  observedGeneration: observed,
  conditions: [...conditions],
});

describe('projectedStatus', () => {
  it('counts generations as the resource does', () => {
    const done = rollout(3, [condition({ observedGeneration: 3 })]);
    const of = { resource: resource(5), owner: owner(), verdict: APPLIED, now: NOW };
    const status = projectedStatus(done, of);
    expect(status.observedGeneration).toBe(5);
    expect(status.conditions).toMatchObject([
      { type: 'Complete', observedGeneration: 5 },
      { type: 'Synced', status: 'True', reason: 'Applied', observedGeneration: 5 },
    ]);
  });

  it('does not say that a new generation is complete because the one before was', () => {
    const before = { observedGeneration: 4, conditions: [condition({ observedGeneration: 4 })] };
    const done = rollout(2, [condition({ observedGeneration: 2 })]);
    const of = { resource: resource(5, before), owner: owner(), verdict: APPLIED, now: NOW };
    const status = projectedStatus(done, of);
    expect(status.observedGeneration).toBe(4);
    expect(status.conditions).toMatchObject([{ type: 'Complete', observedGeneration: 4 }, {}]);
    const afresh = projectedStatus(done, { ...of, resource: resource(5) });
    expect(afresh.observedGeneration).toBe(0);
    expect(afresh.conditions).toMatchObject([{ type: 'Complete', observedGeneration: 0 }, {}]);
  });

  it('says of a spec that is not valid which generation it was, and since when', () => {
    const fault = { reason: 'Invalid', message: '/spec/model: required' };
    const synced = condition({ type: 'Synced', status: 'False', reason: 'OwnedByRest' });
    const before = { observedGeneration: 5, conditions: [synced] };
    const of = { resource: resource(6, before), owner: owner(), now: NOW };
    const status = projectedStatus(rollout(3), { ...of, verdict: { synced: fault } });
    expect(status.observedGeneration).toBe(5);
    expect(status.conditions).toEqual([
      { ...synced, ...fault, lastTransitionTime: EARLIER, observedGeneration: 6 },
    ]);
    const again = projectedStatus(rollout(3), { ...of, verdict: APPLIED });
    expect(again.conditions).toMatchObject([{ status: 'True', lastTransitionTime: NOW }]);
  });

  it('says why an object is still there, and no longer when it is not to go', () => {
    const inUse = { reason: 'ModelInUse', message: 'named by rollout "r"' };
    const verdict: Verdict = { synced: 'Applied', notDeleted: inUse };
    const of = { resource: resource(5), owner: owner(), now: NOW };
    const status = projectedStatus(rollout(3), { ...of, verdict });
    expect(status.conditions).toMatchObject([
      { type: 'Synced' },
      { type: 'Deleted', status: 'False', reason: 'ModelInUse' },
    ]);
    const next = { ...of, resource: resource(5, status), verdict: APPLIED };
    expect(projectedStatus(rollout(3), next).conditions).toMatchObject([{ type: 'Synced' }]);
  });

  it('takes conditions that are unreadable for none, and leaves out what is null', () => {
    const of = { resource: resource(5, { conditions: [{ type: 'Odd' }] }), owner: owner() };
    const status = projectedStatus(rollout(3), { ...of, verdict: APPLIED, now: NOW });
    expect(status.conditions).toMatchObject([{ type: 'Synced', status: 'True' }]);
    expect(status).not.toHaveProperty('abandoned');
    expect(JSON.stringify(status)).not.toContain('null');
  });

  it('is the same again when nothing has changed', () => {
    const of = { owner: owner(), verdict: APPLIED };
    const done = rollout(3, [condition({ observedGeneration: 3 })]);
    const first = projectedStatus(done, { ...of, resource: resource(5), now: EARLIER });
    const next = projectedStatus(done, { ...of, resource: resource(5, first), now: NOW });
    expect(statusDifference(first, next)).toBe('None');
  });
});

describe('statusDifference', () => {
  const of = { owner: owner(), verdict: APPLIED, now: NOW, resource: resource(5) };
  const progressing = condition({ type: 'Progressing', observedGeneration: 3 });
  const published = projectedStatus(rollout(3, [progressing]), of);

  it.each([
    ['a phase', { phase: 'Paused' } as const],
    ['a reason', { conditions: [{ ...progressing, reason: 'GateFailed' }] }],
    ['a condition', { conditions: [{ ...progressing, status: 'False' } as const] }],
    ['what was observed', { observedGeneration: 2 }],
  ])('takes %s for news', (_, change) => {
    const next = projectedStatus({ ...rollout(3, [progressing]), ...change }, of);
    expect(statusDifference(published, next)).toBe('News');
  });

  it.each([
    ['a count', { counts: { ...rollout(3).counts, active: 7 } }],
    ['the wording of a condition', { conditions: [{ ...progressing, message: '7 of 9' }] }],
  ])('takes %s for numbers', (_, change) => {
    const next = projectedStatus({ ...rollout(3, [progressing]), ...change }, of);
    expect(statusDifference(published, next)).toBe('Numbers');
  });

  it('takes the first status for news', () => {
    expect(statusDifference(undefined, published)).toBe('News');
  });

  it('puts off numbers until the interval is over, and news never', () => {
    const pace = { sinceWriteMs: 1500, intervalMs: 5000 };
    expect(statusPauseMs('Numbers', pace)).toBe(3500);
    expect(statusPauseMs('Numbers', { ...pace, sinceWriteMs: Number.POSITIVE_INFINITY })).toBe(0);
    expect(statusPauseMs('News', pace)).toBe(0);
  });
});
