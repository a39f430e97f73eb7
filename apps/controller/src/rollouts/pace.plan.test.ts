import { paceSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paceAllowance, rateOf } from './pace.plan.ts';

const START_MS = Date.parse('2026-11-21T08:00:00.000Z');
const pace = (devicesPerMinute: number) => paceSchema.parse({ devicesPerMinute });
const instant = (seconds: number) => new Date(START_MS + seconds * 1000).toISOString();

function allowance(devicesPerMinute: number, startedAt: number[], nowSeconds: number) {
  return paceAllowance({
    ...{ pace: pace(devicesPerMinute), active: 0 },
    startedAt: startedAt.map(instant),
    now: instant(nowSeconds),
  });
}

describe('rateOf', () => {
  it('grows with what has become active, up to a limit', () => {
    const growing = paceSchema.parse({
      ...{ devicesPerMinute: 10, growth: { factor: 2, afterActive: 100 } },
    });
    expect([0, 99, 100, 250].map((active) => rateOf(growing, active))).toEqual([10, 10, 20, 40]);
    expect(rateOf(growing, 1e6)).toBe(1e6);
    expect(rateOf(pace(10), 1e6)).toBe(10);
  });
});

describe('paceAllowance', () => {
  it('spreads the devices of a minute over it, and says when the next may start', () => {
    expect(allowance(10, [], 0)).toMatchObject({ starts: 1, nextAt: instant(6) });
    expect(allowance(10, [0], 5.9)).toMatchObject({ starts: 0, nextAt: instant(6) });
    expect(allowance(10, [0], 6)).toMatchObject({ starts: 1, nextAt: instant(12) });
  });

  it('starts one device in two minutes', () => {
    expect(allowance(0.5, [0], 119)).toMatchObject({ starts: 0, nextAt: instant(120) });
    expect(allowance(0.5, [0], 120).starts).toBe(1);
  });

  it('holds nothing back without a pace', () => {
    const free = paceAllowance({ pace: null, active: 0, startedAt: [], now: instant(0) });
    expect(free).toMatchObject({ starts: Number.POSITIVE_INFINITY, nextAt: null });
  });

  it('never starts more in a minute, whenever it is asked, and does not stall', () => {
    const rates = fc.constantFrom(0.5, 1, 7, 60, 90, 600, 6000);
    const pauses = fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 60 });
    fc.assert(
      fc.property(rates, pauses, (rate, pausesMs) => {
        const started: number[] = [];
        let nowMs = START_MS;
        for (const pauseMs of pausesMs) {
          nowMs += pauseMs;
          const { starts, nextAt } = paceAllowance({
            ...{ pace: pace(rate), active: 0 },
            startedAt: started.map((at) => new Date(at).toISOString()),
            now: new Date(nowMs).toISOString(),
          });
          expect(Date.parse(nextAt ?? '')).toBeGreaterThan(nowMs);
          started.push(...Array.from({ length: starts }, () => nowMs));
          const minute = started.filter((at) => nowMs - at < 60_000);
          expect(minute.length).toBeLessThanOrEqual(Math.max(1, rate));
        }
      }),
    );
  });

  it('reaches the rate when it is asked at the times it says', () => {
    const started: string[] = [];
    let now = instant(0);
    while (now < instant(600)) {
      const { starts, nextAt } = paceAllowance({
        ...{ pace: pace(90), active: 0, startedAt: started, now },
      });
      for (let i = 0; i < starts; i++) started.push(now);
      now = nextAt ?? '';
    }
    expect(started.length).toBeGreaterThanOrEqual(880);
    expect(started.length).toBeLessThanOrEqual(900);
  });
});
