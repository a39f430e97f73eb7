import { expect, it } from 'vitest';
import { look, runs, startedIn, world } from './rollout.scenario.ts';

it('tells of each wave once, also when its pace holds it back after it has opened', () => {
  const waves = [{ count: 1 }, { count: 1 }, { count: 1 }];
  let now = world({ waves, pace: { devicesPerMinute: 30 } });
  const told: string[] = [];
  for (let seconds = 0; seconds < 20; seconds++) {
    const seen = look(now, seconds);
    now = seen.now;
    for (const device of startedIn(seen.plan)) now = runs(now, device, seconds);
    for (const action of seen.plan.actions) {
      if (action.kind === 'EmitEvent' && action.reason === 'WaveStarted') told.push(action.message);
    }
  }
  expect(told).toEqual(['wave 1 of 3', 'wave 2 of 3', 'wave 3 of 3']);
});
