import { Agent } from '../../../apps/agent/src/agent.ts';
import type { Bus, Publication } from '../../../apps/agent/src/bus.ts';
import { parseDesired } from '../../../apps/agent/src/desired.inbox.ts';
import { stateOf } from '../../../apps/agent/src/device.state.ts';
import { Reporter } from '../../../apps/agent/src/reporter.ts';
import { ModelSlot } from '../../../apps/agent/src/serve/model.slot.ts';
import { firstRecord, type JournalRecord } from '../../../apps/agent/src/update.journal.ts';
import {
  type Artifact,
  type Labels,
  LIMITS,
  type Presence,
  SCHEMA_VERSION,
  topics,
} from '../../../libs/protocol/src/index.ts';
import { exampleReport } from '../../support/fleet.examples.ts';
import type { SeededRandom } from './seeded.random.ts';
import type { Connection, SimulatedBroker } from './simulated.broker.ts';
import { SimulatedDisk } from './simulated.disk.ts';
import type { Behaviour } from './simulated.models.ts';
import { bytesOf, type SimulatedModel, simulatedSteps } from './simulated.steps.ts';
import type { VirtualTime } from './virtual.time.ts';

const REPORT_MS = 30_000;
const PROGRESS_MS = 1000;
/** As systemd does it. */
const RESTART_MS = 5000;

interface Life {
  readonly agent: Agent<SimulatedModel>;
  readonly slot: ModelSlot<SimulatedModel>;
  readonly reporter: Reporter;
  readonly connection: Connection;
  readonly models: Set<SimulatedModel>;
  isAlive: boolean;
}

export interface SimulatedDeviceOptions {
  readonly name: string;
  readonly labels: Labels;
  readonly hardware: string;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Its clock is so far off. */
  readonly clockOffMs: number;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly broker: SimulatedBroker;
  behaviourOf(artifact: string): Behaviour;
  trace(line: string): void;
  /** The agent is in another state, or serves another model. */
  onChange(): void;
}

/** An edge node: the real agent on a simulated disk, network, memory and power supply. */
export class SimulatedDevice {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly memoryBytes: number;
  labels: Labels;
  /** Starts of the agent. */
  boots = 0;
  /** It has served a model at some time. */
  hasServed = false;
  /** Its flash has lost something, so that it may have no intact model at all. */
  hasRotted = false;
  readonly #options: SimulatedDeviceOptions;
  #life: Life | undefined;

  constructor(options: SimulatedDeviceOptions) {
    this.#options = options;
    this.name = options.name;
    this.memoryBytes = options.memoryBytes;
    this.labels = options.labels;
    const { time, random, diskBytes: capacityBytes } = options;
    this.disk = new SimulatedDisk({ time, random, capacityBytes });
  }

  get isRunning(): boolean {
    return this.#life !== undefined;
  }

  get serving(): SimulatedModel | null {
    return this.#life?.slot.current ?? null;
  }

  get models(): readonly SimulatedModel[] {
    return [...(this.#life?.models ?? [])];
  }

  get agent(): Agent<SimulatedModel> | undefined {
    return this.#life?.agent;
  }

  get isConnected(): boolean {
    return this.#life?.connection.connected === true;
  }

  /** Whether the artifact fits, in memory and on the disk. */
  canRun(artifact: Artifact): boolean {
    const weightBytes = Math.min(artifact.memoryBytes, artifact.ref.sizeBytes);
    const contextLength = Math.min(LIMITS.contextLengthDefault, artifact.contextLength);
    const kvCacheBytes = contextLength * artifact.kvCacheBytesPerToken;
    const others = this.models.filter((m) => m.target.artifact.id !== artifact.id);
    const heldBytes = others.reduce((sum, { target }) => sum + bytesOf(target), 0);
    return weightBytes + kvCacheBytes + heldBytes <= this.memoryBytes;
  }

  rot(): void {
    this.hasRotted = this.disk.rot() || this.hasRotted;
  }

  get journaledRevision(): number {
    return this.#lastRecord().situation.desired?.revision ?? 0;
  }

  boot(): void {
    if (this.#life !== undefined) return;
    this.boots++;
    const { broker, time, trace, name } = this.#options;
    const last = this.#lastRecord();
    const connection = broker.connect(name);
    const slot = new ModelSlot<SimulatedModel>();
    const models = new Set<SimulatedModel>();
    const self: { life?: Life } = {};
    const isAlive = () => self.life?.isAlive === true;
    const steps = simulatedSteps({
      ...{ device: name, time, random: this.#options.random, broker, connection, models },
      ...{ disk: this.disk, isAlive },
      behaviourOf: (artifact) => this.#options.behaviourOf(artifact),
      clockOffMs: this.#options.clockOffMs,
      die: () => {
        this.kill();
        time.after(RESTART_MS, () => this.boot());
      },
    });
    const agent: Agent<SimulatedModel> = new Agent({
      steps,
      slot,
      last,
      journal: { write: (record) => this.disk.writeJournal(JSON.stringify(record), isAlive) },
      log: quietLog((line) => trace(`${name}: ${line}`)),
      onChange: () => {
        reporter.changed();
        this.#options.onChange();
      },
      onProgress: () => reporter.progressed(),
      isOnline: () => connection.connected,
    });
    const reporter = new Reporter({
      device: name,
      boot: agent.boot,
      bus: busOf(broker, connection),
      log: quietLog((line) => trace(`${name}: ${line}`)),
      read: () => Promise.resolve(this.#state(agent, slot)),
      heartbeatMs: REPORT_MS,
      progressMs: PROGRESS_MS,
    });
    self.life = { agent, slot, reporter, connection, models, isAlive: true };
    this.#life = self.life;
    trace(`${name}: boots (${agent.boot}) in state ${last.situation.state}`);
    agent.start();
    broker.subscribe(connection, topics.desired(name), ({ payload }) => {
      if (!isAlive()) return;
      const desired = parseDesired(Buffer.from(payload), name);
      if (desired !== null) agent.post({ kind: 'DesiredReceived', desired });
    });
    const greet = () => this.#present(connection, { boot: agent.boot, online: true });
    connection.onConnected.add(greet);
    greet();
    reporter.changed();
  }

  /** As by kill -9; the broker then says the last will. */
  kill(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#options.trace(`${this.name}: dies`);
    life.isAlive = false;
    this.#life = undefined;
    this.#present(life.connection, { boot: life.agent.boot, online: false });
    this.#options.broker.drop(life.connection);
    void life.reporter.stop();
    void life.agent.stop();
  }

  /** What was not synced may be lost, too. */
  losePower(): void {
    this.kill();
    this.disk.loseUnsynced();
  }

  cut(): void {
    if (this.#life !== undefined) this.#options.broker.cut(this.#life.connection);
  }

  reconnect(): void {
    if (this.#life !== undefined) this.#options.broker.heal(this.#life.connection);
  }

  #present(connection: Connection, presence: { boot: number; online: boolean }): void {
    const message: Presence = { schemaVersion: SCHEMA_VERSION, device: this.name, ...presence };
    const { broker } = this.#options;
    const topic = topics.presence(this.name);
    broker.publish(connection, { topic, payload: JSON.stringify(message) }, { retain: true });
  }

  #lastRecord(): JournalRecord {
    const text = this.disk.journal;
    if (text === undefined) return firstRecord(Date.now() + this.#options.clockOffMs);
    return JSON.parse(text) as JournalRecord;
  }

  #state(agent: Agent<SimulatedModel>, slot: ModelSlot<SimulatedModel>) {
    const capabilities = {
      ...exampleReport(this.name).capabilities,
      accelerator: this.#options.hardware,
      memoryBytes: this.memoryBytes,
      diskFreeBytes: this.disk.freeBytes,
    };
    return stateOf({
      ...{ agent, slot, capabilities, labels: this.labels },
      ...{ endpoint: 'http://127.0.0.1:1', agentVersion: '0.1.0' },
    });
  }
}

function busOf(broker: SimulatedBroker, connection: Connection): Bus {
  const publish = (message: Publication): boolean =>
    broker.publish(connection, message, { retain: message.retain });
  return {
    get connected(): boolean {
      return connection.connected;
    },
    publish,
    publishAcknowledged: (message) => Promise.resolve(publish(message)),
    subscribe: (filter, handler) => ({
      close: broker.subscribe(connection, filter, ({ topic, payload }) => {
        void handler(topic, Buffer.from(payload));
      }),
    }),
    onConnected: (handler) => {
      connection.onConnected.add(handler);
      return { close: () => connection.onConnected.delete(handler) };
    },
  };
}

function quietLog(write: (line: string) => void) {
  const drop = () => undefined;
  return { debug: drop, info: write, warn: write, error: write };
}
