import type { FleetEvent, Owner } from '@entrofleet/protocol';
import { describe, expect, it } from 'vitest';
import { type EventAllowances, planEvents } from './event.plan.ts';

const owner: Owner = {
  manager: 'Kubernetes',
  ...{ namespace: 'default', name: 'r', uid: 'u1', generation: 1, appliedGeneration: 1 },
};
const owners = new Map([['Rollout/r', owner]]);
const none: EventAllowances = new Map();

function told(id: number, change: Partial<FleetEvent> = {}): FleetEvent {
  return {
    id,
    at: '2026-11-21T08:00:00.000Z',
    object: { kind: 'Rollout', name: 'r' },
    type: 'Warning',
    reason: 'MemberFailed',
    message: `device ${id}`,
    ...change,
  };
}

const many = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => told(from + index));

describe('planEvents', () => {
  it('tells of an event under one name, about the very resource', () => {
    const { publish } = planEvents([told(255)], { owners, allowances: none, nowMs: 0 });
    expect(publish).toEqual([
      {
        name: 'r.ff',
        about: { kind: 'Rollout', plural: 'rollouts', name: 'r', uid: 'u1' },
        type: 'Warning',
        reason: 'MemberFailed',
        message: 'device 255',
        at: '2026-11-21T08:00:00.000Z',
      },
    ]);
  });

  it('leaves out what no resource owns', () => {
    const others = [
      told(1, { object: { kind: 'Model', name: 'r' } }),
      told(2, { object: { kind: 'Device', name: 'd' } }),
    ];
    expect(planEvents(others, { owners, allowances: none, nowMs: 0 }).publish).toEqual([]);
  });

  it('lets the last of many stand for the rest, and other reasons through', () => {
    const paused = told(90, { reason: 'Paused', message: 'stopped' });
    const events = [...many(1, 50), paused];
    const { publish } = planEvents(events, { owners, allowances: none, nowMs: 0 });
    const failed = publish.filter(({ reason }) => reason === 'MemberFailed');
    expect(failed).toHaveLength(10);
    expect(failed.at(-1)).toMatchObject({
      name: 'r.32',
      message: 'device 50 (and 40 more: entrofleet get events)',
    });
    expect(publish.at(-1)).toMatchObject({ reason: 'Paused', message: 'stopped' });
  });

  it('says no more than its allowance, and counts what it left out', () => {
    const first = planEvents(many(1, 50), { owners, allowances: none, nowMs: 0 });
    const soon = { owners, allowances: first.allowances, nowMs: 1000 };
    const second = planEvents(many(51, 7), soon);
    expect(second.publish).toEqual([]);
    const later = { owners, allowances: second.allowances, nowMs: 40_000 };
    const third = planEvents([told(60)], later);
    expect(third.publish).toMatchObject([
      { message: 'device 60 (and 7 more: entrofleet get events)' },
    ]);
    const calm = planEvents([], { owners, allowances: third.allowances, nowMs: 1e9 });
    expect(calm.allowances.size).toBe(0);
  });
});
