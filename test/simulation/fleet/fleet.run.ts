import { FAULTS, healNetwork } from './fleet.faults.ts';
import { FleetInvariants, Violation } from './fleet.invariants.ts';
import { GOOD_VARIANTS, plainSpec } from './fleet.scenario.ts';
import { FleetWorld, ROLLOUT } from './fleet.world.ts';

export interface RunResult {
  readonly seed: number;
  /** `undefined`: all invariants held and the fleet converged. */
  readonly violation: Violation | undefined;
  readonly virtualSeconds: number;
  readonly trace: readonly string[];
}

const MINUTE_MS = 60_000;
/** When everything is mended, the controller knows the last word of every device after so long. */
const HEARD_MS = 3 * MINUTE_MS;
/** After the last fault a rollout ends, or says why not, within this time. */
const SETTLE_MS = 90 * MINUTE_MS;
const CONVERGE_MS = 120 * MINUTE_MS;
const CHECK_MS = 2000;

/** Runs one seed. The same seed gives the same run, event for event. */
export async function runSeed(
  seed: number,
  options: { isTraced?: boolean } = {},
): Promise<RunResult> {
  let invariants: FleetInvariants | undefined;
  let early: unknown;
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      early ??= error;
    }
  };
  const world: FleetWorld = new FleetWorld({
    seed,
    isTraced: options.isTraced === true,
    onReconciled: (done) => attempt(() => invariants?.checkPlan(done)),
    onDeviceChanged: () => attempt(() => invariants?.check()),
  });
  invariants = new FleetInvariants(world);
  const check = (): void => {
    if (early !== undefined) throw early;
    invariants?.check();
  };
  world.time.install();
  try {
    await runWorld(world, { invariants, check });
    return result(world, undefined);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    world.trace(`VIOLATION ${error.message}`);
    return result(world, error);
  } finally {
    for (const device of world.devices) device.kill();
    world.controller.kill();
    // What still runs must not draw random numbers of the next run.
    await world.time.run(world.time.nowMs + MINUTE_MS);
    world.time.uninstall();
  }
}

async function runWorld(
  world: FleetWorld,
  { invariants, check }: { invariants: FleetInvariants; check: () => void },
): Promise<void> {
  const { scenario, time, controller } = world;
  controller.start();
  for (const device of world.devices) {
    time.after(world.random.next() * 5000, () => device.boot());
  }
  controller.apply(ROLLOUT, scenario.first);
  for (const fault of scenario.faults) {
    time.after(fault.atMs, () => {
      const device = world.devices[Math.floor(fault.place * world.devices.length)];
      if (device === undefined) return;
      world.trace(`fault ${fault.kind} at ${device.name} for ${fault.forMs} ms`);
      FAULTS[fault.kind](world, fault, device);
    });
  }
  await pass(world, { untilMs: scenario.faultsEndMs, check });
  // What is broken is mended within a quarter of an hour at the latest.
  await pass(world, { untilMs: world.passedMs + 20 * MINUTE_MS, check });
  heal(world);
  await pass(world, { untilMs: world.passedMs + HEARD_MS, check });
  invariants.checkHeard();
  await settle(world, check);
  await converge(world, check);
}

async function pass(
  world: FleetWorld,
  until: { untilMs: number; check: () => void },
): Promise<void> {
  const { time } = world;
  while (world.passedMs < until.untilMs) {
    await time.run(Math.min(time.nowMs + CHECK_MS, time.startMs + until.untilMs));
    until.check();
  }
}

function heal(world: FleetWorld): void {
  world.trace('everything is mended');
  healNetwork(world);
  world.controller.crashChance = 0;
  world.controller.start();
  world.controller.reconnect();
  for (const device of world.devices) {
    device.disk.isFull = false;
    device.disk.slowMs = 0;
    device.boot();
    device.reconnect();
  }
}

const ENDED: ReadonlySet<string> = new Set(['Complete', 'Aborted', 'RolledBack', 'Paused']);

/** Without a person: every rollout ends, or pauses with a reason. */
async function settle(world: FleetWorld, check: () => void): Promise<void> {
  const untilMs = world.passedMs + SETTLE_MS;
  while (world.passedMs < untilMs) {
    await pass(world, { untilMs: world.passedMs + MINUTE_MS, check });
    if (ENDED.has(world.rollout.status.phase)) return;
    if (isWaitingForPeople(world)) return;
  }
  throw new Violation('MakesProgress', `after ${SETTLE_MS / MINUTE_MS} minutes: ${words(world)}`);
}

/** Nothing fits, or nobody is selected: it says so, and there is nothing to do. */
function isWaitingForPeople(world: FleetWorld): boolean {
  const { phase, counts } = world.rollout.status;
  return phase === 'Pending' && counts.updating === 0 && counts.pending === 0;
}

/** With a person who wants a good variant everywhere, every device that can runs it in the end. */
async function converge(world: FleetWorld, check: () => void): Promise<void> {
  const variant = world.random.pick(GOOD_VARIANTS);
  world.trace(`a person wants ${variant} everywhere`);
  world.controller.apply(ROLLOUT, plainSpec(variant));
  const untilMs = world.passedMs + CONVERGE_MS;
  const artifact = world.scenario.artifacts.find((a) => a.artifact.variant === variant)?.artifact;
  if (artifact === undefined) throw new Error(`no artifact of ${variant}`);
  const behind = () =>
    world.devices.filter(
      (device) => device.canRun(artifact) && device.serving?.target.artifact.id !== artifact.id,
    );
  while (world.passedMs < untilMs) {
    await pass(world, { untilMs: world.passedMs + MINUTE_MS, check });
    const { phase } = world.rollout.status;
    if (phase === 'Complete' && behind().length === 0) return;
    if (phase !== 'Complete' && ENDED.has(phase)) {
      FAULTS.Retry(world, NEVER, world.devices[0] ?? lost());
      FAULTS.Resume(world, NEVER, world.devices[0] ?? lost());
    }
  }
  const members = world.controller.record.rollouts.get(ROLLOUT)?.members ?? [];
  const why = behind().map(({ name }) => {
    const member = members.find(({ device }) => device === name);
    return `${name} ${member?.state}: ${member?.reason}: ${member?.message}`;
  });
  throw new Violation('Converges', `${words(world)}; behind: ${why.join('; ') || 'nobody'}`);
}

const NEVER = { atMs: 0, kind: 'Retry', place: 0, forMs: 0 } as const;

function lost(): never {
  throw new Error('the fleet has no devices');
}

function words(world: FleetWorld): string {
  const { phase, conditions } = world.rollout.status;
  const progressing = conditions.find(({ type }) => type === 'Progressing');
  return `${phase}, ${progressing?.reason}: ${progressing?.message}`;
}

function result(world: FleetWorld, violation: Violation | undefined): RunResult {
  return {
    seed: world.scenario.seed,
    violation,
    virtualSeconds: Math.round(world.passedMs / 1000),
    trace: world.lines,
  };
}
