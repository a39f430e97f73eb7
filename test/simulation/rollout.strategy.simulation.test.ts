import fc from 'fast-check';
import { expect, it } from 'vitest';
import { unavailableLimit } from '../../apps/controller/src/rollouts/hold.plan.ts';
import { rateOf } from '../../apps/controller/src/rollouts/pace.plan.ts';
import type { RolloutPlan } from '../../apps/controller/src/rollouts/rollout.types.ts';
import { openingOf } from '../../apps/controller/src/rollouts/time.window.plan.ts';
import { type Strategy, strategySchema } from '../../libs/protocol/src/index.ts';
import { digest } from '../support/fleet.examples.ts';
import { type SimulatedDevice, SimulatedFleet, type Step } from './rollout.fleet.ts';

const OLD = { model: 'stories', variant: 'u8', artifactId: digest('old') };
const NEW = digest('artifact');
const DEADLINE_SECONDS = 120;

const device = fc.nat({ max: 9 });
const on = (kind: 'Deliver' | 'Work' | 'Report' | 'Break' | 'Online' | 'Offline') =>
  fc.record({ kind: fc.constant(kind), device });
const mask = fc.integer({ min: 1, max: 1023 });
const seconds = fc.integer({ min: 5, max: 200 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'no' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'before-save' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'Reconcile', crash: 'half-way' }) },
  { weight: 40, arbitrary: fc.record({ kind: fc.constant('Round' as const), mask }) },
  { weight: 3, arbitrary: on('Deliver') },
  { weight: 6, arbitrary: on('Work') },
  { weight: 3, arbitrary: on('Report') },
  { weight: 1, arbitrary: on('Break') },
  { weight: 2, arbitrary: on('Online') },
  { weight: 1, arbitrary: on('Offline') },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('Wait' as const), seconds }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'Join' }, { kind: 'Pause' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ kind: 'Resume' }, { kind: 'Approve' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'Retry' }, { kind: 'Abort' }) },
);

const windows = fc.constantFrom(
  [],
  [{ cron: '*/10 * * * *', durationSeconds: 300, timeZone: 'UTC' }],
  [{ cron: '5-59/7 * * * *', durationSeconds: 120, timeZone: 'Asia/Kolkata' }],
);
const growth = fc.option(
  fc.record({ factor: fc.constantFrom(2, 10), afterActive: fc.integer({ min: 1, max: 4 }) }),
);
const strategy = fc
  .record({
    waves: fc.array(fc.record({ count: fc.integer({ min: 1, max: 4 }) }), {
      minLength: 1,
      maxLength: 3,
    }),
    maxUnavailable: fc.constantFrom(null, 1, 2, '25%'),
    pace: fc.option(fc.record({ devicesPerMinute: fc.constantFrom(0.5, 2, 30), growth })),
    windows: fc.record({ download: windows, activation: windows }),
    retries: fc.record({
      limit: fc.nat({ max: 2 }),
      backoffSeconds: fc.integer({ min: 1, max: 60 }),
    }),
    errorThreshold: fc.option(
      fc.record({ percent: fc.constantFrom(0, 30), minimumSample: fc.constantFrom(1, 3) }),
    ),
    onFailure: fc.constantFrom('Pause', 'RollBack'),
    onAbort: fc.constantFrom('Finish', 'RollBack'),
    approval: fc.constantFrom('None', 'FirstWave', 'EveryWave'),
    progressDeadlineSeconds: fc.constant(DEADLINE_SECONDS),
  })
  .map((given): Strategy => strategySchema.parse(given));

const AT_RISK = new Set(['Decoding', 'Testing', 'Activating']);

/** What must hold whatever happens, with what has to be remembered for it. */
class Rules {
  readonly #fleet: SimulatedFleet;
  readonly #strategy: Strategy;
  /** When devices were asked to begin. */
  readonly #begun: number[] = [];
  /** Devices that were offline for longer than they are waited for. */
  readonly #lost = new Set<string>();

  constructor(fleet: SimulatedFleet, of: Strategy) {
    this.#fleet = fleet;
    this.#strategy = of;
  }

  /** After each step: how many devices are down by our doing? */
  checkDevices(): void {
    const { maxUnavailable } = this.#strategy;
    if (maxUnavailable === null) return;
    for (const each of this.#fleet.devices) if (this.#isGone(each)) this.#lost.add(each.name);
    const atRisk = this.#fleet.devices.filter(
      (each) => AT_RISK.has(each.phase) && !this.#lost.has(each.name),
    );
    const limit = unavailableLimit(maxUnavailable, this.#fleet.devices.length);
    expect(atRisk.length).toBeLessThanOrEqual(limit);
  }

  checkPlan(plan: RolloutPlan, before: ReadonlyMap<string, SimulatedDevice['record']>): void {
    const { status } = plan;
    const asked = plan.actions.filter((action) => action.kind === 'SetDesired');
    const begins = asked.filter(({ device: name, target, attempt }) => {
      const was = before.get(name)?.desired ?? null;
      const isSame = was?.target?.artifact.id === NEW && was.attempt === attempt;
      return target?.artifact.id === NEW && !isSame;
    });
    const now = new Date(this.#fleet.nowMs).toISOString();
    if (status.phase === 'Paused' || status.abandoned !== null) expect(begins).toEqual([]);
    if (!openingOf(this.#strategy.windows.download, now).isOpen) expect(begins).toEqual([]);
    if (!openingOf(this.#strategy.windows.activation, now).isOpen) {
      const let_ = asked.filter((a) => a.target?.artifact.id === NEW && a.hold === 'None');
      expect(let_).toEqual([]);
    }
    this.#checkPace(plan, begins.length);
    this.#checkWords(plan);
  }

  #checkPace(plan: RolloutPlan, begins: number): void {
    const { pace } = this.#strategy;
    if (pace === null) return;
    for (let i = 0; i < begins; i++) this.#begun.push(this.#fleet.nowMs);
    const active = plan.members.filter(({ state }) => state === 'Active').length;
    const rate = Math.max(1, Math.floor(rateOf(pace, active)));
    const recent = this.#begun.filter((at) => this.#fleet.nowMs - at < 60_000);
    if (begins > 0) expect(recent.length).toBeLessThanOrEqual(rate);
  }

  /** It moves, it is settled, or it says why not and what will change that. */
  #checkWords({ status, members, wakeAt }: RolloutPlan): void {
    const progressing = status.conditions.find(({ type }) => type === 'Progressing');
    expect(progressing?.message).not.toBe('');
    if (progressing?.status === 'True') {
      const waits = members.some((m) => m.reason === 'WaitsToGoBack');
      expect(waits || members.some(({ state }) => state === 'Updating')).toBe(true);
    }
    if (status.phase === 'Complete') {
      expect(members.filter(({ state }) => state === 'Pending' || state === 'Updating')).toEqual(
        [],
      );
    }
    expect(progressing?.reason).not.toBe('WaitingForWave');
    const isTimed = /Window|Pace|BackingOff|PenaltyBox/.test(progressing?.reason ?? '');
    if (isTimed) expect(wakeAt).not.toBeNull();
  }

  #isGone({ online, offlineSinceMs }: SimulatedDevice): boolean {
    return !online && this.#fleet.nowMs - offlineSinceMs > DEADLINE_SECONDS * 1000;
  }
}

it('keeps to the strategy whatever happens, says why it stands, and ends', () => {
  fc.assert(
    fc.property(
      fc.record({ devices: fc.integer({ min: 1, max: 8 }), strategy }),
      fc.array(step, { maxLength: 200 }),
      (world, steps) => {
        const { waves, ...rest } = world.strategy;
        const fleet = new SimulatedFleet({
          ...{ devices: world.devices, unfit: 0, waves, before: OLD },
          strategy: rest,
        });
        const rules = new Rules(fleet, world.strategy);
        for (const next of steps) {
          const before = new Map(fleet.devices.map((each) => [each.name, each.record]));
          const plan = fleet.run(next);
          if (plan !== undefined) rules.checkPlan(plan, before);
          rules.checkDevices();
        }
        fleet.heal();
        expect(fleet.rollout.status.phase).toBe('Complete');
        for (const each of fleet.devices) expect(each.active?.artifactId).toBe(NEW);
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

it('never has more devices down than may be, in one wave of all', () => {
  const crash = fc.constantFrom('no' as const, 'no' as const, 'before-save' as const);
  const busy: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('Reconcile' as const), crash }) },
    { weight: 10, arbitrary: fc.record({ kind: fc.constant('Round' as const), mask }) },
    { weight: 1, arbitrary: on('Offline') },
    { weight: 1, arbitrary: on('Online') },
  );
  fc.assert(
    fc.property(
      fc.record({ devices: fc.integer({ min: 3, max: 8 }), limit: fc.constantFrom(1, 2) }),
      fc.array(busy, { minLength: 40, maxLength: 120 }),
      ({ devices, limit }, steps) => {
        const given = strategySchema.parse({
          ...{ maxUnavailable: limit, progressDeadlineSeconds: DEADLINE_SECONDS },
        });
        const { waves: _, ...strategy } = given;
        const waves = [{ percent: 100 }];
        const fleet = new SimulatedFleet({ devices, unfit: 0, waves, before: OLD, strategy });
        const rules = new Rules(fleet, given);
        for (const next of steps) {
          fleet.run(next);
          rules.checkDevices();
        }
      },
    ),
    { numRuns: 100 },
  );
});

it('comes to rest after an abort, with every device on a model', () => {
  fc.assert(
    fc.property(
      fc.record({ devices: fc.integer({ min: 1, max: 8 }), strategy }),
      fc.array(step, { maxLength: 100 }),
      (world, steps) => {
        const { waves, ...rest } = world.strategy;
        const fleet = new SimulatedFleet({
          ...{ devices: world.devices, unfit: 0, waves, before: OLD },
          strategy: rest,
        });
        for (const next of steps) fleet.run(next);
        fleet.run({ kind: 'Abort' });
        for (let round = 0; round < 60; round++) {
          fleet.reconcile();
          fleet.devices.forEach((_, index) => {
            for (const kind of ['Online', 'Deliver', 'Work', 'Report'] as const) {
              fleet.run({ kind, device: index });
            }
          });
        }
        fleet.reconcile();
        const { status } = fleet.rollout;
        expect(['Aborted', 'RolledBack']).toContain(status.phase);
        expect(status.conditions.find(({ type }) => type === 'Progressing')?.status).toBe('False');
        for (const each of fleet.devices) {
          expect(['Active', 'Failed', 'Idle']).toContain(each.phase);
          expect([OLD.artifactId, NEW]).toContain(each.active?.artifactId);
        }
      },
    ),
    { numRuns: 100 },
  );
}, 60_000);
