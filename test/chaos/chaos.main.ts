/**
 * `make chaos`: faults for `CHAOS_SECONDS`, drawn from `CHAOS_SEED` (default: the time). The time
 * line goes to stderr, the summary as JSON to stdout; it ends with 1 when something was violated.
 */
import { runChaos } from './chaos.run.ts';

const number = (name: string, fallback: number): number => {
  const value = Number(process.env[name] ?? fallback);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${name} must be a whole number above 0`);
};

const options = {
  seed: number('CHAOS_SEED', Math.floor(Date.now() / 1000) % 1_000_000),
  seconds: number('CHAOS_SECONDS', 600),
  agents: number('CHAOS_AGENTS', 5),
  gapMs: number('CHAOS_GAP_MS', 2500),
};
const print = (line: string) => process.stderr.write(`${line}\n`);
const summary = await runChaos({ ...options, print });
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
if (summary.violations.length > 0) {
  const { seed, seconds, agents, gapMs } = options;
  const replay =
    `CHAOS_SEED=${seed} CHAOS_SECONDS=${seconds} CHAOS_AGENTS=${agents} ` +
    `CHAOS_GAP_MS=${gapMs} make chaos`;
  print(`chaos: VIOLATED; logs and time line are in ${summary.evidence}; replay: ${replay}`);
  process.exitCode = 1;
}
