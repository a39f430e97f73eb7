import {
  type RolloutSpec,
  rolloutSpecSchema,
  type Strategy,
  strategySchema,
} from '../../../libs/protocol/src/index.ts';
import type { SeededRandom } from './seeded.random.ts';
import { type SimulatedArtifact, simulatedArtifact } from './simulated.models.ts';

/** One thing that happens to the fleet; what it does lies in fleet.faults.ts. */
export type FaultKind =
  | 'KillDevice'
  | 'CutDevice'
  | 'LosePower'
  | 'FillDisk'
  | 'RotChunk'
  | 'SlowDisk'
  | 'KillController'
  | 'CutController'
  | 'ForgetBroker'
  | 'BadNetwork'
  | 'CrashReconciles'
  | 'JoinDevice'
  | 'MoveDevice'
  | 'PinDevice'
  | 'QuarantineDevice'
  | 'Pause'
  | 'Resume'
  | 'Approve'
  | 'Retry'
  | 'Abort'
  | 'Apply';

export interface Fault {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** Which device, as a share of all of them. */
  readonly place: number;
  readonly forMs: number;
}

export interface DeviceScenario {
  readonly name: string;
  readonly hardware: string;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly clockOffMs: number;
}

export interface Scenario {
  readonly seed: number;
  readonly devices: readonly DeviceScenario[];
  readonly artifacts: readonly SimulatedArtifact[];
  readonly first: RolloutSpec;
  /** What the Apply faults change the rollout to, in turn. */
  readonly later: readonly RolloutSpec[];
  readonly faults: readonly Fault[];
  readonly faultsEndMs: number;
}

const MIB = 1024 * 1024;
export const GOOD_VARIANTS = ['u8', 'rd-4'] as const;
const VARIANTS = [...GOOD_VARIANTS, 'slow', 'killer', 'wrong'] as const;
const HARDWARE = ['orin', 'nano'] as const;
const MINUTE_MS = 60_000;

/** How often each thing happens, beside the others. */
const WEIGHTS: Readonly<Record<FaultKind, number>> = {
  KillDevice: 6,
  CutDevice: 6,
  LosePower: 6,
  FillDisk: 2,
  RotChunk: 1,
  SlowDisk: 2,
  KillController: 4,
  CutController: 3,
  ForgetBroker: 2,
  BadNetwork: 3,
  CrashReconciles: 2,
  JoinDevice: 2,
  MoveDevice: 2,
  PinDevice: 1,
  QuarantineDevice: 1,
  Pause: 2,
  Resume: 5,
  Approve: 4,
  Retry: 4,
  Abort: 1,
  Apply: 3,
};

/** Everything about one run, from its seed alone. */
export function scenarioOf(random: SeededRandom, seed: number): Scenario {
  const faultsEndMs = random.between({ from: 10, to: 40 }) * MINUTE_MS;
  const count = random.between({ from: 2, to: 8 });
  return {
    seed,
    devices: Array.from({ length: count }, (_, at) => deviceScenario(random, at)),
    artifacts: VARIANTS.map((variant) => artifactOf(random, variant)),
    first: specOf(random, 'u8'),
    later: Array.from({ length: 6 }, () => specOf(random, random.pick(VARIANTS))),
    faults: faultsOf(random, faultsEndMs),
    faultsEndMs,
  };
}

export function deviceScenario(random: SeededRandom, at: number): DeviceScenario {
  const isSmall = random.chance(0.2);
  return {
    // Names run backwards, so that late joiners sort before those that were there.
    name: `d${999 - at}`,
    hardware: random.pick(HARDWARE),
    // A small one holds one model, or two, entropy coded.
    memoryBytes: isSmall ? random.between({ from: 12, to: 30 }) * MIB : 8192 * MIB,
    diskBytes: random.chance(0.15) ? 6 * MIB : 1024 * MIB,
    clockOffMs: random.chance(0.3) ? (random.next() - 0.5) * 48 * 3600_000 : 0,
  };
}

/** A plain strategy that every fleet gets through. */
export function plainSpec(variant: string): RolloutSpec {
  return rolloutSpecSchema.parse({
    selector: { matchLabels: { fleet: 'simulated' } },
    model: 'stories',
    variant,
    strategy: {
      waves: [{ percent: 100 }],
      errorThreshold: { percent: 100 },
      retries: { limit: 5 },
    },
  });
}

function artifactOf(random: SeededRandom, variant: string): SimulatedArtifact {
  return simulatedArtifact({
    variant,
    chunks: random.between({ from: 2, to: 12 }),
    memoryBytes: 60 * MIB,
    behaviour: {
      kills: variant === 'killer',
      miscomputes: variant === 'wrong',
      decodeTokensPerSecond: variant === 'slow' ? 12 : 20,
    },
  });
}

function specOf(random: SeededRandom, variant: string): RolloutSpec {
  return rolloutSpecSchema.parse({
    selector: { matchLabels: { fleet: 'simulated' } },
    model: 'stories',
    variant,
    strategy: strategyOf(random),
  });
}

function strategyOf(random: SeededRandom): Strategy {
  const some = <T>(probability: number, value: () => T): T | undefined =>
    random.chance(probability) ? value() : undefined;
  return strategySchema.parse({
    waves: random.pick([
      [{ percent: 100 }],
      [{ count: 1 }, { percent: 50 }, { percent: 100 }],
      [{ count: 2 }],
      [{ percent: 30 }, { count: 1 }],
    ]),
    maxUnavailable: some(0.5, () => random.pick([1, 2, '30%', '50%'])),
    pace: some(0.3, () => ({
      devicesPerMinute: random.pick([0.5, 2, 10]),
      growth: some(0.5, () => ({ factor: 2, afterActive: 1 })) ?? null,
    })),
    windows: {
      download: some(0.2, () => [everyTenMinutes(random)]) ?? [],
      activation: some(0.2, () => [everyTenMinutes(random)]) ?? [],
    },
    timeouts: { wholeSeconds: some(0.2, () => 900) ?? null },
    retries: { limit: random.between({ from: 0, to: 2 }), backoffSeconds: 20 },
    errorThreshold: some(0.4, () => ({
      percent: random.pick([0, 30, 60]),
      minimumSample: random.between({ from: 1, to: 3 }),
    })),
    gates: some(0.4, () => [
      { name: 'decode', metric: 'decodeTokensPerSecond', min: 0.8, inconclusiveAfterSeconds: 120 },
    ]),
    onGateFailure: random.pick(['HoldAll', 'HoldClass']),
    onFailure: random.pick(['Pause', 'Pause', 'RollBack']),
    approval: random.pick(['None', 'None', 'FirstWave', 'EveryWave']),
    onAbort: random.pick(['Finish', 'RollBack']),
    progressDeadlineSeconds: random.pick([120, 600]),
  });
}

function everyTenMinutes(random: SeededRandom) {
  return { cron: '*/10 * * * *', durationSeconds: random.pick([120, 300]) };
}

function faultsOf(random: SeededRandom, endMs: number): Fault[] {
  const kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
    Array.from({ length: weight }, () => kind as FaultKind),
  );
  const count = random.between({ from: 0, to: 50 });
  return Array.from({ length: count }, () => ({
    atMs: Math.floor(random.next() * endMs),
    kind: random.pick(kinds),
    place: random.next(),
    forMs: Math.floor(random.next() ** 3 * 15 * MINUTE_MS) + 100,
  })).sort((a, b) => a.atMs - b.atMs);
}
