import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resumed } from '../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import { planRollout } from '../../apps/controller/src/rollouts/rollout.plan.ts';
import type { RolloutFacts } from '../../apps/controller/src/rollouts/rollout.types.ts';
import {
  type Gate,
  gateSchema,
  type Measurement,
  type Rollout,
  WELL_KNOWN_LABELS,
} from '../../libs/protocol/src/index.ts';
import {
  digest,
  exampleDevice,
  exampleReport,
  exampleRollout,
  NOW,
} from '../support/fleet.examples.ts';
import {
  answered,
  carriedOut,
  condition,
  facts,
  progress,
  saved,
  startedIn,
} from './rollout.scenario.ts';

const OLD = { model: 'stories', variant: 'u8', artifactId: digest('old') };
const NEW_ID = digest('artifact');
const GATE: Gate = gateSchema.parse({
  ...{ name: 'speed', metric: 'decodeTokensPerSecond', min: 0.9 },
  inconclusiveAfterSeconds: 60,
});

function measured(artifactId: string, decodeTokensPerSecond: number): Measurement {
  return {
    ...{ kind: 'Activation', measuredAt: NOW, artifactId, threads: 4, decodeTokensPerSecond },
    ...{ prefillTokensPerSecond: null, entropyDecodeGigabytesPerSecond: null },
    ...{ loadSeconds: null, peakRssBytes: null, temperatureCelsius: null },
    fingerprintDeviation: null,
  };
}

/** A device of a class that runs another model at 20 tokens/s. */
function runningOld(name: string, hardwareClass = 'orin') {
  const measurement = measured(OLD.artifactId, 20);
  const report = exampleReport(name, { phase: 'Active', active: OLD, target: OLD, measurement });
  const device = exampleDevice(name, { report });
  const labels = { ...device.metadata.labels, [WELL_KNOWN_LABELS.hardwareClass]: hardwareClass };
  return { ...device, metadata: { ...device.metadata, labels } };
}

function gated(strategy: Partial<Rollout['spec']['strategy']> = {}): RolloutFacts {
  const waves = [{ count: 1 }, { percent: 100 }];
  return facts({
    rollout: exampleRollout({ strategy: { waves, gates: [GATE], ...strategy } }),
    devices: ['a', 'b', 'c'].map((name) => runningOld(name)),
  });
}

/** The device has become active; it is `ratio` times as fast as before, or has not measured. */
function activated(before: RolloutFacts, name: string, ratio: number | null): RolloutFacts {
  const measurement = ratio === null ? null : measured(NEW_ID, 20 * ratio);
  const baseline = measured(OLD.artifactId, 20);
  return answered(before, name, { phase: 'Active', measurement, baseline });
}

function later(before: RolloutFacts, seconds: number): RolloutFacts {
  return { ...before, now: new Date(Date.parse(before.now) + seconds * 1000).toISOString() };
}

describe('waves behind gates', () => {
  it('open when the canary has proved itself', () => {
    const asked = carriedOut(gated(), planRollout(gated()));
    const plan = planRollout(activated(asked, 'a', 0.95));
    expect(plan.status.gates).toMatchObject([{ outcome: 'Passed', observed: 0.95, samples: 1 }]);
    expect(startedIn(plan)).toEqual(['b', 'c']);
  });

  it('wait for evidence, say for which, and pause when none comes', () => {
    const asked = carriedOut(gated(), planRollout(gated()));
    const silent = activated(asked, 'a', null);
    const waiting = planRollout(silent);
    expect(startedIn(waiting)).toEqual([]);
    expect(waiting.status.phase).toBe('Progressing');
    expect(condition(waiting, 'Progressing')?.message).toContain('a has measured nothing');
    expect(Date.parse(waiting.wakeAt ?? '')).toBe(Date.parse(NOW) + 60_001);
    const over = planRollout(later(saved(silent, waiting), 61));
    expect(startedIn(over)).toEqual([]);
    expect(over.status.phase).toBe('Paused');
    expect(condition(over, 'Progressing')?.reason).toBe('GateInconclusive');
  });

  it('are judged after the last wave too', () => {
    const single = gated({ waves: [{ percent: 100 }] });
    const asked = carriedOut(single, planRollout(single));
    const slow = ['a', 'b', 'c'].reduce((all, name) => activated(all, name, 0.5), asked);
    const plan = planRollout(slow);
    expect(plan.status.phase).toBe('Paused');
    expect(condition(plan, 'Progressing')?.reason).toBe('GateFailed');
    const silent = ['a', 'b', 'c'].reduce((all, name) => activated(all, name, null), asked);
    expect(planRollout(silent).status.phase).toBe('Progressing');
  });

  it('open for a person who resumes, and stay judged', () => {
    const asked = carriedOut(gated(), planRollout(gated()));
    const failed = activated(asked, 'a', 0.7);
    const paused = planRollout(failed);
    expect(paused.status.phase).toBe('Paused');
    const before = saved(failed, paused);
    const after = saved(before, { ...progress(before), ...resumed(progress(before), NOW) });
    const plan = planRollout(after);
    expect(startedIn(plan)).toEqual(['b', 'c']);
    expect(plan.status.gates).toMatchObject([{ outcome: 'Failed', overriddenAt: NOW }]);
  });

  it('do not open for a canary that became active between asking and saving', () => {
    const start = gated();
    const asked = carriedOut(start, planRollout(start));
    // The controller ended before it saved what it had asked.
    const lost = { ...asked, rollout: start.rollout, members: start.members };
    const slow = planRollout(later(activated(lost, 'a', 0.7), 300));
    expect(startedIn(slow)).toEqual([]);
    const next = planRollout(later(saved(activated(lost, 'a', 0.7), slow), 300));
    expect(startedIn(next)).toEqual([]);
    expect(next.status.phase).toBe('Paused');
    expect(next.status.gates).toMatchObject([{ outcome: 'Failed', observed: 0.7 }]);
  });

  it('send devices back when the strategy says so', () => {
    const start = gated({ onFailure: 'RollBack' });
    const asked = carriedOut(start, planRollout(start));
    const plan = planRollout(activated(asked, 'a', 0.7));
    expect(plan.status.abandoned).toMatchObject({ how: 'RollBack', reason: 'GateFailed' });
    expect(plan.status.abandoned?.message).not.toMatch(/resume/);
    expect(plan.status.abandoned?.message).toContain('a 14 / 20 = 0.700');
  });
});

describe('any fleet', () => {
  const fleet = fc.array(
    fc.record({
      hardwareClass: fc.constantFrom('orin', 'nano'),
      ratio: fc.option(fc.constantFrom(0.5, 0.95, 1.2), { freq: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const someWaves = fc.array(fc.record({ count: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 1,
    maxLength: 3,
  });

  /** Plans and carries out until nothing moves; whoever is asked becomes active at once. */
  function settled(start: RolloutFacts, ratios: ReadonlyMap<string, number | null>) {
    let now = start;
    for (let turn = 0; turn < 30; turn++) {
      const plan = planRollout(now);
      now = later(carriedOut(now, plan), 1);
      const asked = startedIn(plan);
      for (const name of asked) now = activated(now, name, ratios.get(name) ?? null);
      if (asked.length === 0 && turn > 1) return now;
    }
    throw new Error('it never settles');
  }

  it('has no device in a wave behind one whose class has not passed', () => {
    const modes = fc.constantFrom('HoldAll' as const, 'HoldClass' as const);
    fc.assert(
      fc.property(fleet, someWaves, modes, (list, waves, onGateFailure) => {
        const gates = [{ ...GATE, statistic: 'Worst' as const }];
        const ratios = new Map(list.map(({ ratio }, index) => [`d${index}`, ratio]));
        const { members } = settled(
          {
            ...gated(),
            rollout: exampleRollout({ strategy: { waves, gates, onGateFailure } }),
            devices: list.map((each, index) => runningOld(`d${index}`, each.hardwareClass)),
          },
          ratios,
        );
        const started = members.filter(({ wave }) => wave !== null);
        expect(started.length).toBeGreaterThan(0);
        for (const member of started) {
          const before = started.filter((other) => {
            const isEarlier = (other.wave ?? 0) < (member.wave ?? 0);
            const counts =
              onGateFailure === 'HoldAll' || other.hardwareClass === member.hardwareClass;
            return isEarlier && counts;
          });
          for (const other of before) {
            expect(ratios.get(other.device), JSON.stringify({ member, other })).toBeGreaterThan(
              0.9,
            );
          }
        }
        const isWell = list.every(({ ratio }) => (ratio ?? 0) > 0.9);
        if (isWell) expect(started).toHaveLength(list.length);
      }),
    );
  });

  it('goes on in every class that has passed when only the class that fails is held', () => {
    fc.assert(
      fc.property(fleet, someWaves, (list, waves) => {
        const orinsFail = list.map((each) => ({
          ...each,
          ratio: each.hardwareClass === 'orin' ? 0.5 : 1,
        }));
        const strategy = { waves, gates: [GATE], onGateFailure: 'HoldClass' as const };
        const { members } = settled(
          {
            ...gated(),
            rollout: exampleRollout({ strategy }),
            devices: list.map((each, index) => runningOld(`d${index}`, each.hardwareClass)),
          },
          new Map(orinsFail.map(({ ratio }, index) => [`d${index}`, ratio])),
        );
        const nanos = members.filter(({ hardwareClass }) => hardwareClass === 'nano');
        expect(nanos.every(({ state }) => state === 'Active')).toBe(true);
      }),
    );
  });
});
