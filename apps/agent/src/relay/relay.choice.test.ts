import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RelayChoice } from './relay.choice.plan.ts';

const PATIENCE_MS = 1000;
const choice = () => new RelayChoice({ patienceMs: PATIENCE_MS, nowMs: 0 });

function reachable(): RelayChoice {
  const relay = choice();
  relay.reach(true, 0);
  return relay;
}

describe('a relay that cannot be reached', () => {
  it('is waited for, then done without, and gone back to when it is there', () => {
    const relay = choice();
    expect(relay.side(PATIENCE_MS)).toBe('Relay');
    expect(relay.side(PATIENCE_MS + 1)).toBe('Main');
    relay.reach(true, 50_000);
    expect(relay.side(50_000)).toBe('Relay');
  });

  it('is waited for again when it goes away later', () => {
    const relay = reachable();
    relay.reach(false, 10_000);
    expect(relay.side(10_000 + PATIENCE_MS)).toBe('Relay');
    expect(relay.side(10_001 + PATIENCE_MS)).toBe('Main');
  });

  it('is not waited for again by the next download', () => {
    const relay = choice();
    relay.begin();
    expect(relay.side(60_000)).toBe('Main');
  });
});

it('a relay that is back is not blamed for what it was asked in vain while it was away', () => {
  const relay = choice();
  relay.ask(0);
  relay.reach(true, 50_000);
  expect(relay.side(50_000)).toBe('Relay');
  expect(relay.side(60_000)).toBe('Relay');
});

describe('a relay that is there', () => {
  it('is trusted as long as chunks come, however slowly', () => {
    const relay = reachable();
    for (let nowMs = 0; nowMs < 100_000; nowMs += 5000) {
      relay.ask(nowMs);
      relay.judge('Stored', nowMs);
      expect(relay.side(nowMs + 4999)).toBe('Relay');
    }
  });

  it('is done without for a while when it hands out nothing', () => {
    const relay = reachable();
    relay.ask(0);
    relay.ask(3000);
    expect(relay.side(6 * PATIENCE_MS)).toBe('Relay');
    expect(relay.side(6 * PATIENCE_MS + 1)).toBe('Main');
    expect(relay.side(500_000)).toBe('Main');
    expect(relay.side(610_000)).toBe('Relay');
  });

  it('owes nothing for the time in which nothing was wanted', () => {
    const relay = reachable();
    relay.ask(0);
    relay.judge('Stored', 100);
    expect(relay.side(90_000)).toBe('Relay');
    relay.ask(90_000);
    relay.begin();
    expect(relay.side(180_000)).toBe('Relay');
  });

  it('is done without when it hands out corrupt chunks, not for one among good ones', () => {
    const relay = reachable();
    for (const verdict of ['Corrupt', 'Corrupt', 'Stored', 'Corrupt', 'Corrupt']) {
      relay.judge(verdict, 10);
    }
    expect(relay.side(10)).toBe('Relay');
    relay.judge('Corrupt', 10);
    expect(relay.side(10)).toBe('Main');
  });
});

it('never keeps a device waiting for longer than its patience with a relay that says nothing', () => {
  const event = fc.record({
    afterMs: fc.integer({ min: 1, max: 20_000 }),
    isReachable: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const relay = choice();
      let nowMs = 0;
      relay.ask(nowMs);
      for (const { afterMs, isReachable } of events) {
        nowMs += afterMs;
        relay.reach(isReachable, nowMs);
        relay.ask(nowMs);
        relay.side(nowMs);
      }
      expect(relay.side(nowMs + 6 * PATIENCE_MS + 1)).toBe('Main');
    }),
  );
});
