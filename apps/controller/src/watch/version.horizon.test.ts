import { describe, expect, it } from 'vitest';
import { VersionHorizon } from './version.horizon.ts';

describe('VersionHorizon', () => {
  it('takes the last version when nobody writes', () => {
    const horizon = new VersionHorizon();
    expect(horizon.settled).toBe(0);
    expect(horizon.observe({ last: 7, writers: [] })).toBe(false);
    expect(horizon.settled).toBe(7);
  });

  it('waits for those who were writing, not for those who came later', () => {
    const horizon = new VersionHorizon();
    horizon.observe({ last: 5, writers: [] });
    expect(horizon.observe({ last: 9, writers: ['slow', 'quick'] })).toBe(true);
    horizon.observe({ last: 12, writers: ['slow', 'later'] });
    expect(horizon.settled).toBe(5);
    horizon.observe({ last: 15, writers: ['later'] });
    expect(horizon.settled).toBe(9);
    horizon.observe({ last: 20, writers: ['another'] });
    expect(horizon.settled).toBe(15);
    horizon.observe({ last: 20, writers: [] });
    expect(horizon.settled).toBe(20);
  });

  it('knows nothing while the first writers are still at work', () => {
    const horizon = new VersionHorizon();
    horizon.observe({ last: 9, writers: ['a'] });
    horizon.observe({ last: 9, writers: ['a'] });
    expect(horizon.settled).toBe(0);
    horizon.observe({ last: 9, writers: ['b'] });
    expect(horizon.settled).toBe(9);
  });
});
