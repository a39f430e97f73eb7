import { join } from 'node:path';
import { machineRates } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { LIMITS, topics } from '@entrofleet/protocol';
import { MqttBus } from './adapters/mqtt.ts';
import { Agent } from './agent.ts';
import { readMemory, resetPeakRss } from './capabilities.ts';
import { ChunkStore } from './chunk.store.ts';
import { readChunkTables } from './chunk.tables.ts';
import type { AgentConfig } from './config.ts';
import { parseDesired } from './desired.inbox.ts';
import { readDeviceState } from './device.state.ts';
import { createDeviceSteps } from './device.steps.ts';
import { DiskReserve } from './disk.reserve.ts';
import { makeFolder } from './durable.file.ts';
import { AgentError, failureOf } from './errors.ts';
import type { LoadedModel } from './loaded.model.ts';
import { lockFolder } from './lock.file.ts';
import type { Log } from './log.ts';
import { MeasurementTimer } from './measurement.timer.ts';
import { startRelay } from './relay/relay.start.ts';
import { ReportRing } from './report.ring.ts';
import { Reporter } from './reporter.ts';
import { startHttpServer } from './serve/http.server.ts';
import { ModelSlot } from './serve/model.slot.ts';
import { RequestGate } from './serve/request.gate.ts';
import { ServingMetrics } from './serve/serving.metrics.ts';
import { serviceCondition } from './service.condition.ts';
import type { ServiceCondition } from './service.notices.ts';
import { ServingHealth } from './serving.health.ts';
import { UpdateJournal } from './update.journal.ts';

/** Reports about progress, a few per second at most. */
const PROGRESS_REPORT_MS = 300;
/** For health checks and connections that clients keep open, besides the requests themselves. */
const SPARE_CONNECTIONS = 64;
const MQTT_OVERHEAD_BYTES = 64 * 1024;
const READ_SAMPLE_BYTES = 256 * 1024 * 1024;

/** A running agent. */
export interface Daemon {
  readonly endpoint: string;
  /** As it is at this moment, for the service manager. */
  condition(): ServiceCondition;
  stop(): Promise<void>;
}

/**
 * Puts the agent together and starts it: lock, journal, HTTP, then the model that served before,
 * whether or not the broker can be reached.
 * @throws AgentError `DataFolderUnusable`, `DataFolderInUse`, `PortUnavailable`, or the system's error.
 */
export async function startDaemon(use: {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly agentVersion: string;
}): Promise<Daemon> {
  const { config, log, agentVersion } = use;
  await makeFolder(config.dataFolder).catch((cause: unknown) => {
    const { message } = failureOf(cause);
    const where = `cannot use ENTROFLEET_DATA_DIR ${config.dataFolder}`;
    throw new AgentError('DataFolderUnusable', `${where}: ${message}`, { cause });
  });
  const reserve = new DiskReserve(config.dataFolder);
  const lock = await lockFolder(config.dataFolder).catch(async (error: unknown) => {
    if (failureOf(error).reason !== 'DiskFull') throw error;
    await reserve.release();
    return lockFolder(config.dataFolder);
  });
  try {
    await reserve.release();
    const daemon = await assemble({ config, log, agentVersion, reserve });
    const stop = async (): Promise<void> => {
      await daemon.stop();
      await lock.release();
    };
    return { ...daemon, stop };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function assemble(use: {
  config: AgentConfig;
  log: Log;
  agentVersion: string;
  reserve: DiskReserve;
}): Promise<Daemon> {
  const { config, log, agentVersion, reserve } = use;
  const { device } = config;
  const journal = new UpdateJournal(config.dataFolder);
  const { record: last, damaged } = await journal.read(Date.now());
  for (const path of damaged) log.error(`the journal was damaged and set aside as ${path}`);
  const store = await ChunkStore.open({
    folder: config.dataFolder,
    marginBytes: config.diskMarginBytes,
    reader: readChunkTables,
  });
  const ring = await ReportRing.open(join(config.dataFolder, 'reports'));
  const slot = new ModelSlot<LoadedModel>();
  const gate = new RequestGate({
    concurrency: config.httpConcurrency,
    queueLength: config.httpQueue,
  });
  const metrics = new ServingMetrics({ slot, gate });
  const http = await startHttpServer({
    ...{ host: config.host, port: config.port, slot, gate, metrics, log },
    connections: config.httpConcurrency + config.httpQueue + SPARE_CONNECTIONS,
  });
  log.info(`serving on ${http.endpoint}`);
  const session = {
    ...{ device, boot: last.boot + 1, log },
    maximumPacketBytes: LIMITS.chunkSizeBytesMax + MQTT_OVERHEAD_BYTES,
    receiveMaximum: LIMITS.windowChunksMax,
  };
  const bus = new MqttBus({ ...session, url: config.mqttUrl });
  const relay = config.relay === null ? null : await startRelay({ config, session, main: bus });
  const health = new ServingHealth((failure) => agent.post({ kind: 'ServingFailed', failure }));
  const onServed = (model: LoadedModel, error: unknown) => {
    if (model !== slot.current) return;
    if (error === null) health.succeeded(model);
    else health.failed(model, error);
  };
  const steps = createDeviceSteps({
    ...{ config, store, log, onServed, bus: relay?.bus ?? bus },
    onVerdict: (verdict) => relay?.bus.judge(verdict),
  });
  const agent: Agent<LoadedModel> = new Agent({
    steps,
    slot,
    journal,
    last,
    log,
    isOnline: () => bus.connected,
    trialMs: config.trialMs,
    baselineFreshMs: config.measureIntervalMs,
    onChange: () => reporter.changed(),
    onProgress: () => reporter.progressed(),
  });
  const isa = native.cpu().features;
  const { endpoint } = http;
  const readBytesPerSecond = await readingRate(config, log);
  const reporter = new Reporter({
    device,
    boot: agent.boot,
    bus,
    log,
    read: () =>
      readDeviceState({
        ...{ config, agent, slot, endpoint, agentVersion, isa, readBytesPerSecond },
      }),
    heartbeatMs: config.reportIntervalMs,
    ring,
    progressMs: PROGRESS_REPORT_MS,
  });
  const measurements = new MeasurementTimer({
    agent,
    slot,
    steps,
    log,
    health,
    intervalMs: config.measureIntervalMs,
  });
  agent.start();
  // The journal's first record of this start comes first; what room is left then is kept again.
  let hasResumed = false;
  void agent.settled().then(() => {
    hasResumed = true;
    return reserve.take();
  });
  bus.subscribe(topics.desired(device), (_, payload) => {
    try {
      const desired = parseDesired(payload, device);
      if (desired !== null) agent.post({ kind: 'DesiredReceived', desired });
    } catch (error) {
      log.warn(`ignored a message: ${failureOf(error).message}`);
    }
  });
  return {
    endpoint,
    condition: () => {
      const { situation } = agent;
      const serving = slot.current?.target ?? null;
      return serviceCondition({ situation, serving, hasResumed, isListening: http.isListening });
    },
    stop: async () => {
      await Promise.all([measurements.stop(), http.close(config.httpDrainMs)]);
      await reporter.stop();
      await agent.stop();
      await relay?.stop();
      await bus.end();
    },
  };
}

/** Measured before a model serves, which would spoil it. @returns null when it cannot be. */
async function readingRate(config: AgentConfig, log: Log): Promise<number | null> {
  const { threads, memoryBudgetBytes } = config;
  const { availableBytes } = readMemory({ root: '/', budgetBytes: memoryBudgetBytes });
  try {
    const memoryBytes = (availableBytes ?? READ_SAMPLE_BYTES) / 4;
    return (await machineRates({ threads, memoryBytes })).readBytesPerSecond;
  } catch (error) {
    log.warn(`the memory's speed could not be measured: ${failureOf(error).message}`);
    return null;
  } finally {
    resetPeakRss();
  }
}
