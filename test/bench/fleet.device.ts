import { createHash } from 'node:crypto';
import { type ChunkLocation, chunkTable, parseHeader } from '@entrofleet/artifact';
import { Bitmap, type Desired, type Phase, type Report, topics } from '@entrofleet/protocol';
import { exampleReport } from '../support/fleet.examples.ts';
import { WireClient } from './mqtt.wire.ts';

/** What a device goes through once it holds all chunks; each phase is reported. */
const AFTER_DOWNLOAD: readonly Phase[] = [
  'Verifying',
  'Decoding',
  'Testing',
  'Activating',
  'Active',
];
const WINDOW = 32;
const STALL_MS = 5000;
/** Devices are numbered through them. */
export const CELLS = 200;

export interface FleetCounts {
  /** Reports that the broker has taken. */
  reports: number;
  chunkBytes: number;
  active: number;
  closed: number;
  damaged: number;
}

/** What all devices of a process share: an artifact's chunks are hashed once, then compared. */
export class ChunkProof {
  readonly #proven = new Map<string, Buffer>();

  isIntact(key: string, bytes: Buffer, sha256: string): boolean {
    const known = this.#proven.get(key);
    if (known !== undefined) return known.equals(bytes);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) return false;
    this.#proven.set(key, Buffer.from(bytes));
    return true;
  }
}

/** What the devices of one process have in common. */
export interface FleetUse {
  readonly port: number;
  readonly counts: FleetCounts;
  readonly proof: ChunkProof;
  /** How long each phase after the download takes, about. */
  readonly phaseMs: number;
}

/**
 * A device without engine and disk: it connects, reports, fetches and checks chunks as an agent
 * does, then answers one phase after another.
 */
export class FleetDevice {
  readonly name: string;
  readonly #use: FleetUse;
  #client: WireClient | undefined;
  #sequence = 0;
  #desired: Desired | undefined;
  #active: Report['active'] = null;
  #phase: Phase = 'Idle';
  #lacking: Bitmap | undefined;
  #header: (Buffer | undefined)[] = [];
  #table: readonly ChunkLocation[] = [];
  #arrivedSinceWant = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #inFlight = new Set<number>();

  constructor(name: string, use: FleetUse) {
    this.name = name;
    this.#use = use;
  }

  get sequence(): number {
    return this.#sequence;
  }

  async connect(): Promise<void> {
    const presence = (online: boolean) =>
      JSON.stringify({ schemaVersion: 1, device: this.name, online, boot: 1 });
    this.#client = await WireClient.connect({
      port: this.#use.port,
      clientId: this.name,
      will: { topic: topics.presence(this.name), payload: presence(false) },
      onMessage: (topic, payload) => this.#take(topic, payload),
      onTaken: (id) => {
        if (this.#inFlight.delete(id)) this.#use.counts.reports++;
      },
    });
    this.#client.publish(topics.presence(this.name), presence(true), { retain: true });
    this.#client.subscribe(topics.desired(this.name));
    this.report();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#client?.close();
  }

  get isConnected(): boolean {
    return this.#client?.isClosed === false;
  }

  report(): void {
    const target = this.#desired?.target;
    const message: Report = {
      ...exampleReport(this.name, { capabilities: readings() }),
      sequence: ++this.#sequence,
      at: new Date().toISOString(),
      labels: labelsOf(this.name),
      observedRevision: this.#desired?.revision ?? 0,
      observedAttempt: this.#desired?.attempt ?? 0,
      phase: this.#phase,
      target: target == null ? null : identityOf(target),
      active: this.#active,
      measurement: this.#active === null ? null : measurementOf(this.#active.artifactId),
    };
    const id = this.#client?.publish(topics.report(this.name), JSON.stringify(message));
    if (id !== undefined) this.#inFlight.add(id);
  }

  #take(topic: string, payload: Buffer): void {
    if (payload.length === 0) return;
    if (topic.endsWith('/desired')) this.#follow(JSON.parse(payload.toString()));
    else this.#accept(Number(topic.slice(topic.lastIndexOf('/') + 1)), payload);
  }

  #follow(desired: Desired): void {
    if (desired.revision <= (this.#desired?.revision ?? 0)) return;
    this.#desired = desired;
    const { target } = desired;
    if (target === null || this.#active?.artifactId === target.artifact.id) {
      this.#phase = target === null ? 'Idle' : 'Active';
      this.report();
      return;
    }
    this.#phase = 'Downloading';
    this.#lacking = new Bitmap(target.artifact.chunkCount).inverted();
    this.#header = [];
    this.#table = [];
    this.#client?.subscribe(topics.chunksOf(target.artifact.id));
    this.report();
    this.#want();
  }

  #want(): void {
    const ref = this.#desired?.target?.artifact;
    if (ref === undefined || this.#lacking === undefined) return;
    this.#arrivedSinceWant = 0;
    const want = {
      schemaVersion: 1,
      device: this.name,
      artifact: ref.id,
      window: WINDOW,
      chunkCount: ref.chunkCount,
      lacking: Buffer.from(this.#lacking.toBytes()).toString('base64'),
    };
    this.#client?.publish(topics.want(this.name), JSON.stringify(want));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#want(), STALL_MS * (1 + Math.random()));
  }

  #accept(index: number, payload: Buffer): void {
    const ref = this.#desired?.target?.artifact;
    if (ref === undefined || this.#lacking?.has(index) !== true) return;
    const headerChunks = ref.headerChunks.length;
    const expected = index < headerChunks ? ref.headerChunks[index] : this.#table[index]?.sha256;
    if (expected === undefined) return;
    const { counts, proof } = this.#use;
    if (!proof.isIntact(`${ref.id} ${index}`, payload, expected)) {
      counts.damaged++;
      return;
    }
    counts.chunkBytes += payload.length;
    this.#lacking.delete(index);
    if (index < headerChunks) this.#acceptHeader(index, payload, headerChunks);
    this.#arrivedSinceWant++;
    if (this.#lacking.count === 0) this.#finish();
    else if (index < headerChunks || this.#arrivedSinceWant * 2 >= WINDOW) this.#want();
  }

  #acceptHeader(index: number, payload: Buffer, headerChunks: number): void {
    this.#header[index] = Buffer.from(payload);
    const parts = this.#header.filter((part) => part !== undefined);
    if (parts.length === headerChunks) this.#table = tableOf(this.#desired, parts);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#lacking = undefined;
    const target = this.#desired?.target;
    if (target == null) return;
    this.#client?.unsubscribe(topics.chunksOf(target.artifact.id));
    this.#advance(AFTER_DOWNLOAD.values());
  }

  #advance(phases: Iterator<Phase>): void {
    const { value, done } = phases.next();
    const target = this.#desired?.target;
    if (done === true || target == null) return;
    this.#phase = value;
    if (value === 'Active') {
      this.#active = identityOf(target);
      this.#use.counts.active++;
    }
    this.report();
    const pauseMs = this.#use.phaseMs * (0.5 + Math.random());
    this.#timer = setTimeout(() => this.#advance(phases), pauseMs);
  }
}

/** Chunk tables by artifact: a header is parsed once for all devices of the process. */
const tables = new Map<string, readonly ChunkLocation[]>();

function tableOf(desired: Desired | undefined, parts: readonly Buffer[]): readonly ChunkLocation[] {
  const id = desired?.target?.artifact.id ?? '';
  const known = tables.get(id);
  if (known !== undefined) return known;
  const table = chunkTable(parseHeader(Buffer.concat(parts)));
  tables.set(id, table);
  return table;
}

function identityOf(target: NonNullable<Desired['target']>): NonNullable<Report['active']> {
  return { model: target.model, variant: target.variant, artifactId: target.artifact.id };
}

/** Devices of a cell are those of one of many rollouts; see kube.bench.ts. */
function labelsOf(name: string): Report['labels'] {
  const cell = String(Number(name.slice(1)) % CELLS);
  return { site: 'lab', rack: String(name.length % 7), cell };
}

/** Readings that are never twice the same, as real ones. */
function readings(): Report['capabilities'] {
  const { capabilities } = exampleReport('any');
  const memoryAvailableBytes = Math.round(4e9 * (1 + 0.2 * Math.random()));
  const diskFreeBytes = Math.round(1e10 * (1 + 0.02 * Math.random()));
  return { ...capabilities, cpuModel: 'Cortex-A78AE', memoryAvailableBytes, diskFreeBytes };
}

function measurementOf(artifactId: string): Report['measurement'] {
  const noise = () => 1 + 0.04 * (Math.random() - 0.5);
  return {
    kind: 'Periodic',
    measuredAt: new Date().toISOString(),
    artifactId,
    threads: 6,
    prefillTokensPerSecond: 120 * noise(),
    decodeTokensPerSecond: 20 * noise(),
    entropyDecodeGigabytesPerSecond: 2 * noise(),
    loadSeconds: 3,
    residency: 'all windows: they fit',
    peakRssBytes: 1.2e9,
    temperatureCelsius: 55 * noise(),
    fingerprintDeviation: 0.02,
  };
}
