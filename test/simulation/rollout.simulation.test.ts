import fc from 'fast-check';
import { expect, it } from 'vitest';
import type {
  RolloutPlan,
  RolloutProgress,
} from '../../apps/controller/src/rollouts/rollout.types.ts';
import { waveCapacity } from '../../apps/controller/src/rollouts/rollout.waves.ts';
import type { WaveSpec } from '../../libs/protocol/src/index.ts';
import { SimulatedFleet, type Step } from './rollout.fleet.ts';

const device = fc.nat({ max: 11 });
const on = (kind: 'Deliver' | 'Work' | 'Report' | 'Break' | 'Online' | 'Offline') =>
  fc.record({ kind: fc.constant(kind), device });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'no' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'before-save' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'half-way' }) },
  { weight: 5, arbitrary: on('Deliver') },
  { weight: 8, arbitrary: on('Work') },
  { weight: 6, arbitrary: on('Report') },
  { weight: 1, arbitrary: on('Break') },
  { weight: 2, arbitrary: on('Online') },
  { weight: 1, arbitrary: on('Offline') },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'Join' }, { kind: 'Pause' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'Resume' }, { kind: 'Retry' }) },
);
const waves: fc.Arbitrary<WaveSpec[]> = fc.array(
  fc.oneof(
    fc.record({ count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
  ),
  { minLength: 1, maxLength: 3 },
);
const world = fc
  .record({ devices: fc.integer({ min: 1, max: 8 }), unfit: fc.nat({ max: 2 }), waves })
  .filter((w) => w.unfit < w.devices);

function check(before: RolloutProgress, plan: RolloutPlan, spec: readonly WaveSpec[]): void {
  const { status: after, members } = plan;
  const waveBefore = new Map(before.members.map((m) => [m.device, m.wave]));
  const started = members.filter(
    (m) => m.wave !== null && (waveBefore.get(m.device) ?? null) === null,
  );
  const asked = plan.actions.filter((action) => action.kind === 'SetDesired');
  if (after.phase === 'Paused' || after.phase === 'Refused') {
    expect(started).toEqual([]);
    expect(asked).toEqual([]);
  }
  const selected = members.filter((m) => m.state !== 'Conflict').length;
  for (const { wave, state } of started) {
    const inWave = members.filter((m) => m.wave === wave && m.state !== 'Offline');
    expect(inWave.length).toBeLessThanOrEqual(waveCapacity(spec, wave ?? 0, selected));
    if (state === 'Active') continue;
    expect(wave).toBe(after.currentWave);
    const early = members.filter((m) => m.wave !== null && m.wave < (wave ?? 0));
    expect(early.filter((m) => m.state === 'Updating')).toEqual([]);
  }
  for (const member of members.filter((m) => m.state === 'Unfit')) {
    expect(asked.map((a) => a.device)).not.toContain(member.device);
  }
  const isMoving = members.some((m) => m.state === 'Updating');
  const progressing = after.conditions.find((c) => c.type === 'Progressing');
  if (isMoving || after.phase === 'Complete') return;
  expect(progressing?.status).toBe('False');
  expect(progressing?.message).not.toBe('');
}

it('never starts more than the open wave, says why it waits, and converges', () => {
  fc.assert(
    fc.property(world, fc.array(step, { maxLength: 150 }), (given, steps) => {
      const fleet = new SimulatedFleet(given);
      for (const next of steps) {
        const before = fleet.progress;
        const plan = fleet.run(next);
        if (plan !== undefined) check(before, plan, given.waves);
      }
      fleet.heal();
      expect(fleet.rollout.status.phase).toBe('Complete');
      const fit = fleet.devices.filter((d) => d.memoryBytes > 1e9);
      expect(fleet.rollout.status.counts).toMatchObject({
        active: fit.length,
        unfit: fleet.devices.length - fit.length,
      });
    }),
    { numRuns: 300 },
  );
});

it('an offline device never keeps the others from completion', () => {
  fc.assert(
    fc.property(world, fc.nat({ max: 7 }), (given, lost) => {
      const fleet = new SimulatedFleet(given);
      fleet.run({ kind: 'Offline', device: lost });
      const away = fleet.devices[lost % fleet.devices.length];
      for (let round = 0; round < 100; round++) {
        fleet.reconcile();
        fleet.devices.forEach((device, index) => {
          if (device === away) return;
          for (const kind of ['Deliver', 'Work', 'Report'] as const) {
            fleet.run({ kind, device: index });
          }
        });
      }
      const others = fleet.devices.filter((d) => d !== away && d.memoryBytes > 1e9).length;
      expect(fleet.rollout.status.counts.active).toBe(others);
      if (others > 0) expect(fleet.rollout.status.phase).toBe('Complete');
    }),
    { numRuns: 100 },
  );
});
