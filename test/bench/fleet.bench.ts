/**
 * The fleet at scale: `make bench-fleet`; JSON on standard output, progress on standard error.
 *
 *   node test/bench/fleet.bench.ts [--sizes 1000,10000] [--database postgresql|pglite]
 *     [--interval 30] [--seconds 60] [--profile FOLDER]
 *
 * Devices are simulated in one process: real MQTT to a real Mosquitto, real want-lists, every chunk
 * checked; then each phase takes about a second. The controller is the real one.
 */
import { parseArgs } from 'node:util';
import { measureCrowd } from './fleet.crowd.ts';

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000' },
    database: { type: 'string', default: 'postgresql' },
    interval: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '60' },
    profile: { type: 'string' },
  },
});

const { profile } = options;
const crowd = await measureCrowd({
  sizes: options.sizes.split(',').map(Number),
  database: options.database === 'pglite' ? 'pglite' : 'postgresql',
  reportIntervalSeconds: Number(options.interval),
  steadySeconds: Number(options.seconds),
  environment:
    profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` },
  onProgress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify({ crowd }, null, 2)}\n`);
