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

const seed = number('CHAOS_SEED', Math.floor(Date.now() / 1000) % 1_000_000);
const summary = await runChaos({
  seed,
  seconds: number('CHAOS_SECONDS', 600),
  agents: number('CHAOS_AGENTS', 5),
  gapMs: number('CHAOS_GAP_MS', 2500),
  print: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
if (summary.violations.length > 0) {
  process.stderr.write(
    `chaos: VIOLATED, see ${summary.evidence}; replay: CHAOS_SEED=${seed} make chaos\n`,
  );
  process.exitCode = 1;
}
