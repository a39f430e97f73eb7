import { type Spread, spread } from './codec.measurement.ts';
import type { EngineRun } from './engine.variants.ts';

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

/** @param hasPeer whether llama.cpp was measured: goals against it are left out else. */
export function engineGoals(names: GoalNames, hasPeer: boolean): Goal[] {
  const { coded8, plain8, coded4, peer8, peer4, paper4 } = names;
  const own: Goal[] = [
    decodeGoal(coded8, plain8, 1.2),
    ...paper4.map(({ coded, plain }) => decodeGoal(coded, plain, 1.8)),
    firstTokenGoal(coded8),
    firstTokenGoal(coded4),
  ];
  if (!hasPeer) return own;
  return [
    ...own,
    decodeGoal(coded8, peer8, 1.15),
    decodeGoal(coded4, peer4, 1.05),
    prefillGoal(coded8, peer8),
    prefillGoal(coded4, peer4),
  ];
}

function decodeGoal(own: string, other: string, atLeast: number): Goal {
  const speed = (round: Round, name: string) => runOf(round, name).decodeTokensPerSecond;
  return {
    name: `decode: ${own} / ${other}`,
    of: (round) => speed(round, own) / speed(round, other),
    wanted: { atLeast },
  };
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
