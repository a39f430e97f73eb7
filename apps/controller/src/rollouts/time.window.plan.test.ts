import { strategySchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openingOf, windowFault } from './time.window.plan.ts';

const nightly = { cron: '30 2 * * *', durationSeconds: 3600, timeZone: 'Europe/Berlin' };

describe('openingOf', () => {
  it('is always open without windows', () => {
    expect(openingOf([], '2026-11-21T08:00:00.000Z')).toEqual({ isOpen: true, until: null });
  });

  it.each([
    // In winter Berlin is one hour ahead of UTC, in summer two.
    ['2026-01-10T01:29:59.999Z', false, '2026-01-10T01:30:00.000Z'],
    ['2026-01-10T01:30:00.000Z', true, '2026-01-10T02:30:00.000Z'],
    ['2026-01-10T02:30:00.000Z', false, '2026-01-11T01:30:00.000Z'],
    ['2026-07-10T00:30:00.000Z', true, '2026-07-10T01:30:00.000Z'],
    // Clocks go from 2:00 to 3:00: there is no 2:30, so it opens at 3:00.
    ['2026-03-29T00:59:59.000Z', false, '2026-03-29T01:00:00.000Z'],
    ['2026-03-29T01:59:59.000Z', true, '2026-03-29T02:00:00.000Z'],
    // Clocks go from 3:00 back to 2:00: 2:30 comes twice, and it opens once.
    ['2026-10-25T00:30:00.000Z', true, '2026-10-25T01:30:00.000Z'],
    ['2026-10-25T01:30:00.000Z', false, '2026-10-26T01:30:00.000Z'],
  ])('at %s: %s until %s', (now, isOpen, until) => {
    expect(openingOf([nightly], now)).toEqual({ isOpen, until });
  });

  it('is open while any of the windows is', () => {
    const noon = { cron: '0 12 * * 1-5', durationSeconds: 60, timeZone: 'UTC' };
    const opening = openingOf([nightly, noon], '2026-11-23T12:00:30.000Z');
    expect(opening).toEqual({ isOpen: true, until: '2026-11-23T12:01:00.000Z' });
    expect(openingOf([nightly, noon], '2026-11-22T12:00:30.000Z').isOpen).toBe(false);
  });

  it('changes only at the time it says', () => {
    const time = fc.date({
      ...{ min: new Date('2026-01-01'), max: new Date('2027-12-31'), noInvalidDate: true },
    });
    const timeZone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata');
    const window = fc.record({
      cron: fc.constantFrom('*/15 * * * *', '30 2 * * *', '0 22 * * 5', '0 0 1 * *'),
      durationSeconds: fc.integer({ min: 60, max: 86_400 }),
      timeZone,
    });
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), time, (windows, now) => {
        const { isOpen, until } = openingOf(windows, now.toISOString());
        const end = Date.parse(until ?? '');
        expect(end).toBeGreaterThan(now.getTime());
        for (const share of [0.3, 0.999]) {
          const at = now.getTime() + Math.floor((end - now.getTime() - 1) * share);
          expect(openingOf(windows, new Date(at).toISOString()).isOpen).toBe(isOpen);
        }
        if (!isOpen) expect(openingOf(windows, until ?? '').isOpen).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

describe('windowFault', () => {
  const fault = (window: object) =>
    windowFault(strategySchema.parse({ windows: { activation: [{ ...nightly, ...window }] } }));

  it('names the window and what is wrong with it', () => {
    expect(fault({})).toBeUndefined();
    expect(fault({ cron: '61 * * * *' })).toMatch(/activation\[0\].*61 \* \* \* \*.*minute/);
    expect(fault({ timeZone: 'Mars/Olympus' })).toMatch(/activation\[0\].*Mars\/Olympus.*IANA/);
    expect(fault({ cron: '0 0 31 2 *' })).toMatch(/names no time/);
    expect(fault({ cron: '* * * * * *' })).toMatch(/exactly 5 parts.*crontab/);
  });
});
