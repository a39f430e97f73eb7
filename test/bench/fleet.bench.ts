/**
 * The fleet at scale: `make bench-fleet`; goals and JSON on standard output, progress on
 * standard error.
 *
 *   node test/bench/fleet.bench.ts [--sizes 1000,10000] [--database postgresql|pglite]
 *     [--interval 30] [--seconds 60] [--agents 64] [--layers 20] [--rates 0,2000000]
 *     [--profile FOLDER]
 *
 * Devices are simulated in one process: real MQTT to a real Mosquitto, real want-lists, every chunk
 * checked; then each phase takes about a second. The agents are full ones, a process each, that
 * fetch, check and store 256 MB and wait then; --rates are limits of the controller's chunk bytes
 * in a second (0: none), because this one machine runs all of them: the agents at the lowest
 * priority, as they stand for other machines. What the broker hands to subscribers that only count,
 * and what the disk takes, is measured in the same run. The controller is the real one.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AgentsResult, measureAgents } from './fleet.agents.ts';
import { type CrowdResult, measureCrowd } from './fleet.crowd.ts';
import { agentsGoals, boundLine, crowdGoals, goalLines } from './fleet.goals.ts';

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000' },
    database: { type: 'string', default: 'postgresql' },
    interval: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '60' },
    agents: { type: 'string', default: '64' },
    rates: { type: 'string', default: '0,2000000' },
    layers: { type: 'string', default: '20' },
    profile: { type: 'string' },
  },
});

const CACHE = join(import.meta.dirname, '../../.cache/bench-fleet');
const numbers = (text: string) => text.split(',').filter(Boolean).map(Number);
const database = options.database === 'pglite' ? 'pglite' : 'postgresql';
const onProgress = (line: string) => process.stderr.write(`${line}\n`);
const { profile } = options;
const environment =
  profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` };

const sizes = numbers(options.sizes);
const crowd: CrowdResult[] = await measureCrowd({
  sizes,
  database,
  reportIntervalSeconds: Number(options.interval),
  steadySeconds: Number(options.seconds),
  environment,
  onProgress,
});
const agents: AgentsResult[] = [];
for (const bytesPerSecond of numbers(options.rates)) {
  agents.push(
    await measureAgents({
      agents: Number(options.agents),
      layers: Number(options.layers),
      bytesPerSecond,
      cacheFolder: CACHE,
      onProgress,
    }),
  );
}
const goals = [...crowdGoals(crowd), ...agentsGoals(agents)];
process.stdout.write(goalLines(goals));
for (const result of agents) process.stdout.write(boundLine(result));
process.stdout.write(`${JSON.stringify({ database, crowd, agents, goals }, null, 2)}\n`);
