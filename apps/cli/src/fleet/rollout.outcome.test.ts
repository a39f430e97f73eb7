import type { Rollout } from '@entrofleet/client';
import { describe, expect, it } from 'vitest';
import { exampleRollout } from '../../../../test/support/fleet.examples.ts';
import { outcomeOf, progressText, waitText } from './rollout.outcome.ts';

function rollout(status: Partial<Rollout['status']>): Rollout {
  const example = exampleRollout();
  const counts = { ...example.status.counts, selected: 6, active: 2, updating: 1 };
  const waves = { currentWave: 1, totalWaves: 3 };
  return {
    ...example,
    status: { ...example.status, observedGeneration: 1, counts, ...waves, ...status },
  } as Rollout;
}

function condition(type: string, reason: string, message: string) {
  const at = '2026-11-21T08:00:00.000Z';
  const rest = { lastTransitionTime: at, observedGeneration: 1 };
  return { type, status: 'False' as const, reason, message, ...rest };
}

describe('outcomeOf', () => {
  it('is going while a newer spec was not looked at, whatever the phase', () => {
    expect(outcomeOf(rollout({ phase: 'Complete', observedGeneration: 0 })).kind).toBe('Going');
    expect(outcomeOf(rollout({ phase: 'Progressing' })).kind).toBe('Going');
    expect(outcomeOf(rollout({ phase: 'Pending' })).kind).toBe('Going');
  });

  it('is complete when the phase says so', () => {
    expect(outcomeOf(rollout({ phase: 'Complete' }))).toEqual({ kind: 'Complete' });
  });

  it('tells why it has stopped, and what to do', () => {
    const conditions = [condition('Progressing', 'DeviceFailed', 'd1: no memory left')];
    const stopped = outcomeOf(rollout({ phase: 'Paused', conditions }));
    expect(stopped).toMatchObject({
      kind: 'Stopped',
      reason: 'Paused, DeviceFailed: d1: no memory left',
    });
    const refused = outcomeOf(rollout({ phase: 'Refused' }));
    expect(refused).toMatchObject({ hint: 'see "entrofleet describe rollout rollout"' });
    const waiting = [condition('Progressing', 'AwaitingApproval', 'wave 2')];
    expect(outcomeOf(rollout({ phase: 'Paused', conditions: waiting }))).toMatchObject({
      hint: 'approve it with "entrofleet rollout approve rollout"',
    });
  });
});

describe('waitText', () => {
  it('says why nothing goes on, unless it does, is over, or was not looked at', () => {
    const waiting = [condition('Progressing', 'OutsideDownloadWindow', 'opens at 9')];
    const waits = (status: Partial<Rollout['status']>) => {
      return waitText(rollout({ phase: 'Progressing', conditions: waiting, ...status }));
    };
    expect(waits({})).toBe('OutsideDownloadWindow: opens at 9');
    expect(waits({ conditions: waiting.map((c) => ({ ...c, status: 'True' })) })).toBeUndefined();
    expect(waits({ phase: 'Complete' })).toBeUndefined();
    expect(waits({ observedGeneration: 0 })).toBeUndefined();
  });
});

describe('progressText', () => {
  it('names what is not zero', () => {
    expect(progressText(rollout({ phase: 'Progressing' }))).toBe(
      'Progressing, wave 2 of 3: 2 of 6 active, 1 updating',
    );
    expect(progressText(rollout({ observedGeneration: 0 }))).toBe('generation 1 is being planned');
  });
});
