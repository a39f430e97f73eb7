import { expect, it } from 'vitest';
import { runChaos } from './chaos.run.ts';

const SEED = 167;
const SECONDS = 35;

it(`a fleet gets over everything that seed ${SEED} does to it in ${SECONDS} s`, async () => {
  const lines: string[] = [];
  const summary = await runChaos({
    ...{ seed: SEED, seconds: SECONDS, agents: 4, gapMs: 2000 },
    print: (line) => lines.push(line),
  });
  for (const line of summary.skipped) console.warn(line);
  const evidence = `CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS} CHAOS_AGENTS=4 CHAOS_GAP_MS=2000`;
  const told = `replay: ${evidence} make chaos; logs: ${summary.evidence}\n${lines.join('\n')}`;
  expect(summary.violations, told).toEqual([]);
  expect(summary.convergedAfterFaultsMs, told).not.toBeNull();
  expect(summary.answersChecked, told).toBeGreaterThan(20);
  expect(Object.keys(summary.faults).length, told).toBeGreaterThan(8);
  console.log(JSON.stringify(summary));
}, 480_000);
