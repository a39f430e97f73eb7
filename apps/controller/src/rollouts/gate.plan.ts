import { type Gate, type GateResult, LIMITS } from '@entrofleet/protocol';
import { type Evidence, evidenceOf, figureText, type GateMember } from './gate.evidence.plan.ts';

export type { GateMember } from './gate.evidence.plan.ts';

export interface GateVerdict {
  /** The last result of each gate and hardware class, in the order of gates, then of classes. */
  readonly results: readonly GateResult[];
  /** Hardware classes whose next wave must not open, each with the result that says why. */
  readonly blockedClasses: ReadonlyMap<string, GateResult>;
  /** Of the worst class; `Passed` when there is nothing to judge. */
  readonly outcome: 'Passed' | 'Waiting' | 'Failed' | 'InconclusiveTooLong';
  /** Messages of what blocks, worst first; empty when nothing does. */
  readonly message: string;
}

export interface GateFacts {
  readonly gates: readonly Gate[];
  readonly members: readonly GateMember[];
  /** The wave that is open; devices of later waves are not judged. */
  readonly wave: number;
  readonly now: string;
  /** Results of the judgement before, of the same revision. */
  readonly previous: readonly GateResult[];
}

const OUTCOMES = ['Failed', 'InconclusiveTooLong', 'Waiting', 'Passed'] as const;
/** Devices whose figures one message shows; the worst are shown. */
const DEVICES_SHOWN = 8;

/**
 * Holds what devices have measured against the gates, each hardware class by itself, over all
 * members of the waves so far that are active. To be asked when the open wave has settled.
 *
 * A result does not change on noise: a pass is kept until further devices of its class have become
 * active, a failure until somebody retries (see {@link rejudged}) or resumes ({@link overridden}).
 * A member that is active and lacks evidence makes its class Inconclusive, whatever the others say;
 * only a `Worst` gate that a device has failed already needs to hear no more.
 */
export function judgeGates(facts: GateFacts): GateVerdict {
  const { gates, wave } = facts;
  const classes = new Map<string, GateMember[]>();
  for (const member of facts.members) {
    if (!member.isActive || member.wave > wave) continue;
    const others = classes.get(member.hardwareClass);
    if (others === undefined) classes.set(member.hardwareClass, [member]);
    else others.push(member);
  }
  for (const { hardwareClass, outcome } of facts.previous) {
    // What was decided stays decided when a class goes offline; what was not, blocks nobody.
    if (outcome !== 'Inconclusive' && !classes.has(hardwareClass)) classes.set(hardwareClass, []);
  }
  const judged = gates.flatMap((gate) =>
    [...classes]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([hardwareClass, members]) => judgeClass(facts, gate, { hardwareClass, members })),
  );
  const blocking = judged
    .filter((each) => each.outcome !== 'Passed')
    .sort((a, b) => OUTCOMES.indexOf(a.outcome) - OUTCOMES.indexOf(b.outcome));
  const blockedClasses = new Map<string, GateResult>();
  for (const { result } of blocking) {
    if (!blockedClasses.has(result.hardwareClass)) {
      blockedClasses.set(result.hardwareClass, result);
    }
  }
  const message = blocking.map(({ result }) => `gate ${result.gate}: ${result.message}`).join('; ');
  return {
    results: judged.map(({ result }) => result),
    blockedClasses,
    outcome: blocking[0]?.outcome ?? 'Passed',
    message: message.slice(0, LIMITS.errorMessageLength),
  };
}

/** The resume action: what blocks is recorded as overridden, and blocks the next wave no more. */
export function overridden(results: readonly GateResult[], at: string): GateResult[] {
  return results.map((result) => (isBlocking(result) ? { ...result, overriddenAt: at } : result));
}

/** The retry action: what failed is forgotten and judged again from the devices' evidence then. */
export function rejudged(results: readonly GateResult[]): GateResult[] {
  return results.filter((result) => !isBlocking(result));
}

/** Results that are news, for events: decided, or decided otherwise than before. */
export function gateNews(
  before: readonly GateResult[],
  after: readonly GateResult[],
): readonly GateResult[] {
  const known = new Set(before.map(newsKey));
  return after.filter((result) => !known.has(newsKey(result)));
}

function newsKey({ gate, wave, hardwareClass, outcome, overriddenAt }: GateResult): string {
  return JSON.stringify([gate, wave, hardwareClass, outcome, overriddenAt ?? null]);
}

function isBlocking(result: GateResult): boolean {
  return result.outcome !== 'Passed' && result.overriddenAt == null;
}

interface ClassMembers {
  readonly hardwareClass: string;
  /** Active ones of the waves so far. */
  readonly members: readonly GateMember[];
}

interface Judged {
  readonly result: GateResult;
  readonly outcome: GateVerdict['outcome'];
}

function judgeClass(facts: GateFacts, gate: Gate, of: ClassMembers): Judged | [] {
  const prior = facts.previous.findLast(
    (result) => result.gate === gate.name && result.hardwareClass === of.hardwareClass,
  );
  if (prior !== undefined && isKept(prior, of.members)) {
    return { result: prior, outcome: isBlocking(prior) ? 'Failed' : 'Passed' };
  }
  if (of.members.length === 0) return [];
  const judged = weigh(gate, of);
  const wave = of.members.reduce((last, member) => Math.max(last, member.wave), 0);
  const isSame = prior?.outcome === judged.outcome && prior.wave === wave;
  const since = isSame ? prior.at : facts.now;
  const result: GateResult = {
    gate: gate.name,
    wave,
    hardwareClass: of.hardwareClass,
    outcome: judged.outcome,
    observed: judged.observed,
    samples: judged.samples,
    message: judged.message.slice(0, LIMITS.errorMessageLength),
    at: isSame && judged.outcome === 'Inconclusive' ? since : facts.now,
  };
  if (judged.outcome !== 'Inconclusive') return { result, outcome: judged.outcome };
  const waitedMs = Date.parse(facts.now) - Date.parse(activeSince(of.members) ?? since);
  const isTooLong = waitedMs > gate.inconclusiveAfterSeconds * 1000;
  return { result, outcome: isTooLong ? 'InconclusiveTooLong' : 'Waiting' };
}

function isKept(prior: GateResult, members: readonly GateMember[]): boolean {
  if (prior.overriddenAt != null) return members.every((member) => member.wave <= prior.wave);
  if (prior.outcome === 'Failed') return true;
  if (prior.outcome === 'Inconclusive') return false;
  const isNew = (member: GateMember) =>
    member.wave > prior.wave || (member.activatedAt !== null && member.activatedAt > prior.at);
  return members.length <= prior.samples && !members.some(isNew);
}

/** When the last of them became active, where that is known of any. */
function activeSince(members: readonly GateMember[]): string | undefined {
  return members
    .flatMap(({ activatedAt }) => activatedAt ?? [])
    .sort()
    .at(-1);
}

type Weighed = Pick<GateResult, 'outcome' | 'observed' | 'samples' | 'message'>;
type Figure = Extract<Evidence, { value: number }>;

function weigh(gate: Gate, { hardwareClass, members }: ClassMembers): Weighed {
  const evidence = members.map((member) => evidenceOf(gate, member));
  const figures = evidence
    .filter((each): each is Figure => 'value' in each)
    .sort((a, b) => excess(gate, b.value) - excess(gate, a.value) || byName(a, b));
  const missing = evidence.flatMap((each) => ('missing' in each ? [each] : [])).sort(byName);
  const samples = figures.length;
  const observed = statisticOf(gate, figures);
  const isOutside = observed !== null && excess(gate, observed) > 0;
  const isEnough = samples >= gate.minimumSamples;
  const isFailed = isOutside && isEnough && (missing.length === 0 || gate.statistic === 'Worst');
  const isMissing = missing.length > 0 || !isEnough || observed === null;
  const outcome = isFailed ? 'Failed' : isMissing ? 'Inconclusive' : 'Passed';
  const parts = [
    `${gate.metric} of class ${hardwareClass}: ${summary(gate, observed, samples)}`,
    list(figures, ({ device, text }) => `${device} ${text()}`),
    list(missing, (each) => `${each.device} ${each.missing}`),
  ];
  if (outcome === 'Inconclusive' && !isEnough) {
    parts.push(`${samples} of at least ${gate.minimumSamples} devices (minimumSamples) gave it`);
  }
  const message = parts.filter((part) => part !== '').join('; ');
  return { outcome, observed, samples, message };
}

function summary(gate: Gate, observed: number | null, samples: number): string {
  const bounds = [
    ...(gate.min === undefined ? [] : [`min ${boundText(gate, gate.min)}`]),
    ...(gate.max === undefined ? [] : [`max ${boundText(gate, gate.max)}`]),
  ].join(', ');
  if (observed === null) return `no figure (${bounds})`;
  const devices = samples === 1 ? '1 device' : `${samples} devices`;
  const statistic = gate.statistic === 'Median' ? 'median' : 'worst';
  const of = gate.against === 'Previous' ? " of the previous model's" : '';
  return `${statistic} ${boundText(gate, observed)}${of} over ${devices} (${bounds})`;
}

function boundText(gate: Gate, value: number): string {
  if (gate.against === 'Fixed') return figureText(gate.metric, value);
  return String(Number(value.toFixed(3)));
}

function list<T>(items: readonly T[], textOf: (item: T) => string): string {
  const shown = items.slice(0, DEVICES_SHOWN).map(textOf);
  const rest = items.length - shown.length;
  return [...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join(', ');
}

/** How far a value lies outside of the bounds; negative within them. */
function excess(gate: Gate, value: number): number {
  const below = gate.min === undefined ? Number.NEGATIVE_INFINITY : gate.min - value;
  const above = gate.max === undefined ? Number.NEGATIVE_INFINITY : value - gate.max;
  return Math.max(below, above);
}

/** @param figures worst first. */
function statisticOf(gate: Gate, figures: readonly Figure[]): number | null {
  if (gate.statistic === 'Worst') return figures[0]?.value ?? null;
  const values = figures.map(({ value }) => value).sort((a, b) => a - b);
  const [low, high] = [(values.length - 1) >> 1, values.length >> 1].map((i) => values[i]);
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

function byName(a: { readonly device: string }, b: { readonly device: string }): number {
  return a.device < b.device ? -1 : a.device > b.device ? 1 : 0;
}
