import { seededRandom } from '../simulation/distribution.network.ts';

interface FaultDescription {
  /** The family of things it happens to. */
  readonly on: string;
  readonly durationMs: readonly [number, number];
  /** It is in every so manieth deck. Default: in each. */
  readonly everyDecks?: number;
  /** How often it is in a deck. Default: once. */
  readonly copies?: number;
}

/** What can go wrong, and for how long. */
const FAULTS = {
  KillAgent: { on: 'agent', durationMs: [0, 4000], copies: 3 },
  KillController: { on: 'controller', durationMs: [0, 3000] },
  KillCompressor: { on: 'controller', durationMs: [0, 0] },
  KillRedis: { on: 'redis', durationMs: [0, 3000] },
  FlushRedis: { on: 'redis', durationMs: [0, 0] },
  KillBroker: { on: 'broker', durationMs: [0, 3000] },
  ForgetBroker: { on: 'broker', durationMs: [0, 2000] },
  KillDatabase: { on: 'database', durationMs: [0, 2000] },
  RestartDatabase: { on: 'database', durationMs: [0, 0] },
  Freeze: { on: 'process', durationMs: [500, 5000] },
  SilenceLink: { on: 'link', durationMs: [1000, 8000] },
  CutOffDevice: { on: 'deviceLink', durationMs: [20_000, 90_000] },
  CutOffServer: { on: 'serverLink', durationMs: [15_000, 40_000], everyDecks: 4 },
  SlowLink: { on: 'link', durationMs: [2000, 10_000] },
  AbandonLink: { on: 'link', durationMs: [0, 0] },
  ResetLink: { on: 'link', durationMs: [0, 0] },
  FillAgentDisk: { on: 'agentDisk', durationMs: [2000, 8000] },
  FillControllerDisk: { on: 'controllerDisk', durationMs: [2000, 10_000] },
} as const satisfies Record<string, FaultDescription>;

const WORK = {
  ChangeModel: { everyMs: 9000 },
  CreateModel: { everyMs: 14_000 },
  LabelDevice: { everyMs: 3500 },
} as const;

export type FaultKind = keyof typeof FAULTS;
export type WorkKind = keyof typeof WORK;
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];
export const WORK_KINDS = Object.keys(WORK) as WorkKind[];

/** One thing that happens. `target` is a process, a link or a disk; for work, what is used. */
export interface ChaosStep {
  readonly atMs: number;
  readonly kind: FaultKind | WorkKind;
  readonly target: string;
  readonly durationMs: number;
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly agents: readonly string[];
  /** Names that `ChangeModel` chooses among. */
  readonly models: readonly string[];
  /** False where no small disk can be mounted. */
  readonly disks: boolean;
  /** False when the controller keeps its record in process. */
  readonly database: boolean;
  /** Mean time between two faults. */
  readonly gapMs: number;
}

/** Families of targets by name, in a fixed order. */
export function targetsOf(options: ScheduleOptions): Readonly<Record<string, readonly string[]>> {
  const { agents, disks, database } = options;
  const servers = ['controller', 'redis', 'broker', ...(database ? ['database'] : [])];
  const serverLinks = servers.slice(1).map((server) => `link:${server}`);
  const deviceLinks = agents.map((agent) => `link:${agent}`);
  const [first = ''] = agents;
  return {
    agent: agents,
    controller: ['controller'],
    redis: ['redis'],
    broker: ['broker'],
    database: database ? ['database'] : [],
    process: [...servers, ...agents],
    link: [...serverLinks, ...deviceLinks],
    serverLink: serverLinks,
    deviceLink: deviceLinks,
    agentDisk: disks ? [`disk:${first}`] : [],
    controllerDisk: disks ? ['disk:controller'] : [],
  };
}

/**
 * What happens when, all of it from the seed. Kinds of faults come like cards from a shuffled deck,
 * so that a short run meets many of them. Nothing suffers two faults at once, nothing but work
 * begins in the last moments, and silences too long for the run are left out.
 */
export function chaosSchedule(options: ScheduleOptions): ChaosStep[] {
  const random = seededRandom(options.seed);
  const steps = [...faultsOf(options, random), ...workOf(options, random)];
  return steps.sort((a, b) => a.atMs - b.atMs);
}

function faultsOf(options: ScheduleOptions, random: () => number): ChaosStep[] {
  const endMs = options.seconds * 1000;
  const targets = targetsOf(options);
  const freeAtMs = new Map<string, number>();
  const steps: ChaosStep[] = [];
  let deck: FaultKind[] = [];
  let decks = 0;
  for (let atMs = gap(options.gapMs, random); atMs < endMs; atMs += gap(options.gapMs, random)) {
    if (deck.length === 0) deck = shuffled(kindsOfDeck(++decks), random);
    const kind = deck.pop() ?? 'KillAgent';
    const { on, durationMs: range }: FaultDescription = FAULTS[kind];
    const free = (targets[on] ?? []).filter((name) => (freeAtMs.get(name) ?? 0) <= atMs);
    const target = free[Math.floor(random() * free.length)];
    const durationMs = Math.round(range[0] + random() * (range[1] - range[0]));
    if (target === undefined || atMs + durationMs > endMs) continue;
    freeAtMs.set(target, atMs + durationMs + options.gapMs);
    steps.push({ atMs: Math.round(atMs), kind, target, durationMs });
  }
  return steps;
}

function kindsOfDeck(deck: number): FaultKind[] {
  return FAULT_KINDS.flatMap((kind) => {
    const { everyDecks = 1, copies = 1 }: FaultDescription = FAULTS[kind];
    return deck % everyDecks === 0 ? Array<FaultKind>(copies).fill(kind) : [];
  });
}

function workOf(options: ScheduleOptions, random: () => number): ChaosStep[] {
  const { agents, models, seconds } = options;
  const steps: ChaosStep[] = [];
  let [last = ''] = models;
  let made = 0;
  for (const kind of WORK_KINDS) {
    const { everyMs } = WORK[kind];
    for (let atMs = gap(everyMs, random); atMs < seconds * 1000; atMs += gap(everyMs, random)) {
      const others = models.filter((model) => model !== last);
      const next = kind === 'LabelDevice' ? agents : others;
      let target = next[Math.floor(random() * next.length)] ?? last;
      if (kind === 'ChangeModel') last = target;
      if (kind === 'CreateModel') target = `extra-${made++}`;
      steps.push({ atMs: Math.round(atMs), kind, target, durationMs: 0 });
    }
  }
  return steps;
}

/** Half to one and a half times the mean. */
function gap(meanMs: number, random: () => number): number {
  return meanMs * (0.5 + random());
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const cards = [...items];
  for (let left = cards.length; left > 1; left--) {
    const at = Math.floor(random() * left);
    const [card] = cards.splice(at, 1);
    if (card !== undefined) cards.push(card);
  }
  return cards;
}
