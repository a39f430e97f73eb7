import {
  type PrivateService,
  startAgent,
  startController,
  startMosquitto,
  startRedis,
} from '../private/services.ts';
import { removeTemporaryFolders } from '../private/temporary.folder.ts';

/** Devices of the demo, in the order of their names. */
const DEVICES = [
  { device: 'edge-1', labels: { site: 'a' } },
  { device: 'edge-2', labels: { site: 'a' } },
  { device: 'edge-3', labels: { site: 'b' } },
] as const;

/** Everything that runs while the demo does. */
export interface Fleet {
  readonly controller: PrivateService;
  readonly agents: readonly PrivateService[];
  readonly all: readonly PrivateService[];
}

/** Starts Redis, Mosquitto, the controller and three agents, each private to this process. */
export async function startFleet(): Promise<Fleet> {
  const [redis, mosquitto] = await Promise.all([startRedis(), startMosquitto()]);
  const environment = { SWEEP_INTERVAL_SECONDS: '2' };
  const [controller, ...agents] = await Promise.all([
    startController({ redisUrl: redis.url, mqttUrl: mosquitto.url, environment }),
    ...DEVICES.map((device) => startAgent({ ...device, mqttUrl: mosquitto.url })),
  ]);
  return { controller, agents, all: [redis, mosquitto, controller, ...agents] };
}

/** Agents first, so that each can still say that it goes. */
export async function stopFleet(fleet: Fleet): Promise<void> {
  await Promise.all(fleet.agents.map((agent) => agent.stop()));
  for (const service of [...fleet.all].reverse()) await service.stop();
  await removeTemporaryFolders();
}

/** The end of every log, for a failure that somebody has to understand. */
export async function fleetLogs(fleet: Fleet): Promise<string> {
  const pieces = fleet.all.map(async (service) => {
    return `--- end of the log of ${service.name} ---\n${await service.logTail(15)}`;
  });
  return (await Promise.all(pieces)).join('\n');
}
