import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { runSeed } from './fleet.run.ts';

const USAGE = `usage: node --conditions=entrofleet-source test/simulation/fleet/sim.main.ts [options]
  --seeds N   how many seeds to run (2000)
  --from N    the first of them (1)
  --seed N    run only this one and print what happens in it
  --stop-at-first  end with the first seed that fails
  --json      print the result as JSON`;

interface Failure {
  readonly seed: number;
  readonly message: string;
}

interface Share {
  readonly runs: number;
  readonly virtualSeconds: number;
  readonly failures: readonly Failure[];
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    step: { type: 'string', default: '1' },
    'stop-at-first': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else if (values.seed !== undefined) await showSeed(Number(values.seed));
else if (process.send !== undefined) process.send(await runShare());
else await runAll();

async function showSeed(seed: number): Promise<void> {
  const { trace, violation, virtualSeconds } = await runSeed(seed, { isTraced: true });
  for (const line of trace) console.log(line);
  console.log(
    violation === undefined
      ? `seed ${seed}: all invariants held over ${virtualSeconds} s`
      : `seed ${seed}: ${violation.message}`,
  );
  process.exitCode = violation === undefined ? 0 : 1;
}

/** The seeds from `from` on, by `step`. */
async function runShare(): Promise<Share> {
  const failures: Failure[] = [];
  let runs = 0;
  let virtualSeconds = 0;
  const end = Number(values.from) + Number(values.seeds);
  for (let seed = Number(values.from); seed < end; seed += Number(values.step)) {
    const result = await runSeed(seed);
    runs++;
    virtualSeconds += result.virtualSeconds;
    if (result.violation === undefined) continue;
    failures.push({ seed, message: result.violation.message });
    console.error(`seed ${seed}: ${result.violation.message}`);
    if (values['stop-at-first']) break;
  }
  return { runs, virtualSeconds, failures };
}

/** Deals the seeds to one process for each core. */
async function runAll(): Promise<void> {
  const processes = Math.min(availableParallelism(), Number(values.seeds));
  const startMs = Date.now();
  const shares = await Promise.all(
    Array.from({ length: processes }, (_, at) => {
      const from = Number(values.from) + at;
      const seeds = Number(values.seeds) - at;
      const stop = values['stop-at-first'] ? ['--stop-at-first'] : [];
      const share = ['--from', `${from}`, '--seeds', `${seeds}`, '--step', `${processes}`];
      return child([...share, ...stop]);
    }),
  );
  const failures = shares.flatMap((share) => share.failures).sort((a, b) => a.seed - b.seed);
  const seeds = shares.reduce((sum, { runs }) => sum + runs, 0);
  const virtualHours = Math.round(shares.reduce((sum, s) => sum + s.virtualSeconds, 0) / 3600);
  const seconds = Math.round((Date.now() - startMs) / 1000);
  if (values.json) console.log(JSON.stringify({ seeds, virtualHours, seconds, failures }));
  else {
    console.log(`${seeds} seeds, ${virtualHours} hours of fleet time in ${seconds} s`);
    if (failures.length === 0) console.log('all invariants held');
    for (const { seed } of failures) console.log(`replay: make sim SEED=${seed}`);
  }
  process.exitCode = failures.length === 0 ? 0 : 1;
}

function child(argv: readonly string[]): Promise<Share> {
  const { promise, resolve, reject } = Promise.withResolvers<Share>();
  const worker = fork(import.meta.filename, argv, { execArgv: process.execArgv });
  let share: Share | undefined;
  worker.on('message', (message) => {
    share = message as Share;
    worker.disconnect();
  });
  worker.on('exit', (code) => {
    if (share === undefined) reject(new Error(`a simulation process ended with ${code}`));
    else resolve(share);
  });
  return promise;
}
