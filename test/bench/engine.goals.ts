import { type Spread, spread } from './codec.measurement.ts';
import type { EngineRun } from './engine.variants.ts';

/** Two variants that take turns at decoding, and how much faster the first has to be. */
export interface DecodeGoal {
  readonly own: string;
  readonly other: string;
  readonly atLeast: number;
}

/** A figure over another one, of each round: what disturbs a round disturbs both. */
export interface Goal {
  readonly name: string;
  readonly of: (round: Round) => number;
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number };
}

/** The runs of one round by the names of their variants. */
export type Round = ReadonlyMap<string, EngineRun>;

export interface GoalResult {
  readonly name: string;
  readonly ratio: Spread;
  readonly wanted: Goal['wanted'];
  readonly met: boolean;
}

/** The names of the variants that goals are about. */
export interface GoalNames {
  readonly coded8: string;
  readonly plain8: string;
  readonly coded4: string;
  readonly peer8: string;
  readonly peer4: string;
  /** Of the paper's uint4, at each entropy. */
  readonly paper4: readonly { readonly coded: string; readonly plain: string }[];
}

const LONG_PROMPT = 512;

/** @param hasPeer whether llama.cpp is measured: goals against it are left out else. */
export function decodeGoals(names: GoalNames, hasPeer: boolean): DecodeGoal[] {
  const { coded8, plain8, coded4, peer8, peer4, paper4 } = names;
  const own: DecodeGoal[] = [
    { own: coded8, other: plain8, atLeast: 1.2 },
    ...paper4.map(({ coded, plain }) => ({ own: coded, other: plain, atLeast: 1.8 })),
  ];
  if (!hasPeer) return own;
  return [
    ...own,
    { own: coded8, other: peer8, atLeast: 1.15 },
    { own: coded4, other: peer4, atLeast: 1.05 },
  ];
}

/** @param turns tokens per second of both, turn by turn. */
export function decodeResult(
  { own, other, atLeast }: DecodeGoal,
  turns: readonly (readonly [own: number, other: number])[],
): GoalResult {
  const ratio = spread(turns.map(([ours, theirs]) => ours / theirs));
  const met = ratio.median >= atLeast;
  return { name: `decode: ${own} / ${other}`, ratio, wanted: { atLeast }, met };
}

/** @param hasPeer as of {@link decodeGoals}. */
export function engineGoals(names: GoalNames, hasPeer: boolean): Goal[] {
  const { coded8, coded4, peer8, peer4 } = names;
  const own: Goal[] = [firstTokenGoal(coded8), firstTokenGoal(coded4)];
  if (!hasPeer) return own;
  return [...own, prefillGoal(coded8, peer8), prefillGoal(coded4, peer4)];
}

function prefillGoal(own: string, other: string): Goal {
  const speed = (round: Round, name: string) =>
    runOf(round, name).prefillTokensPerSecond[LONG_PROMPT] ?? Number.NaN;
  return {
    name: `prefill ${LONG_PROMPT}: ${own} / ${other}`,
    of: (round) => speed(round, own) / speed(round, other),
    wanted: { atLeast: 0.8 },
  };
}

function firstTokenGoal(own: string): Goal {
  return {
    name: `first token / (read + prefill): ${own}`,
    of: (round) => {
      const { firstTokenMs, readMs, firstPrefillMs } = runOf(round, own);
      return firstTokenMs / (readMs + firstPrefillMs);
    },
    wanted: { atMost: 1.2 },
  };
}

export function runOf(round: Round, name: string): EngineRun {
  const run = round.get(name);
  if (run === undefined) throw new Error(`${name} was not measured`);
  return run;
}

export function goalResult({ name, of, wanted }: Goal, rounds: readonly Round[]): GoalResult {
  const ratio = spread(rounds.map(of));
  const met = 'atLeast' in wanted ? ratio.median >= wanted.atLeast : ratio.median <= wanted.atMost;
  return { name, ratio, wanted, met };
}
