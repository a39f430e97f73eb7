import { join } from 'node:path';
import { type RelayPresence, SCHEMA_VERSION, topics } from '@entrofleet/protocol';
import { MqttBus, type MqttBusOptions } from '../adapters/mqtt.ts';
import type { Bus } from '../bus.ts';
import { ChunkStore } from '../chunk.store.ts';
import { readChunkTables } from '../chunk.tables.ts';
import type { AgentConfig, RelayConfig } from '../config.ts';
import { DiskBudget } from '../disk.budget.ts';
import { RelayServer } from './relay.server.ts';
import { RelayedBus } from './relayed.bus.ts';

/** This agent's part in its site: a neighbour of the relay, and the relay itself if told so. */
export interface SiteRelay {
  /** For downloads. */
  readonly bus: RelayedBus;
  stop(): Promise<void>;
}

interface RelayUse {
  readonly config: AgentConfig;
  readonly session: Omit<MqttBusOptions, 'url'>;
  readonly main: Bus;
}

/** @throws the system's error when the relay's folder cannot be used. */
export async function startRelay(use: RelayUse): Promise<SiteRelay | null> {
  const { config, session, main } = use;
  const { relay } = config;
  if (relay === null) return null;
  const local = new MqttBus({ ...session, url: relay.url });
  const bus = new RelayedBus({ main, local, log: session.log, patienceMs: relay.patienceMs });
  const stopServer = relay.isRelay ? await startServer(use, relay) : async () => undefined;
  const stop = async (): Promise<void> => {
    bus.end();
    await stopServer();
    await local.end();
  };
  return { bus, stop };
}

async function startServer(use: RelayUse, relay: RelayConfig): Promise<() => Promise<void>> {
  const { config, session } = use;
  const { device } = config;
  const { windowChunks, stallMs } = config;
  const store = await ChunkStore.open({
    folder: join(config.dataFolder, 'relay'),
    marginBytes: config.diskMarginBytes,
    reader: readChunkTables,
  });
  const clientId = `entrofleet-relay-${device}`;
  const message = (online: boolean): RelayPresence => {
    return { schemaVersion: SCHEMA_VERSION, device, online };
  };
  const presence = { topic: topics.relay, message };
  const site = new MqttBus({ ...session, url: relay.url, clientId, presence });
  // A connection of its own: what the agent itself may fetch there is told apart from it.
  const main = new MqttBus({ ...session, url: config.mqttUrl, clientId, presence: null });
  const server = new RelayServer({
    ...{ device, site, main, store, windowChunks, stallMs },
    budget: new DiskBudget({ store, budgetBytes: relay.diskBytes, option: 'RELAY_DISK_MIB' }),
    log: session.log,
    uplink: { ...config.uplink, isRelayed: false },
  });
  server.start();
  return async () => {
    await server.stop();
    await Promise.all([site.end(), main.end()]);
  };
}
