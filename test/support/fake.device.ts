import { createHash } from 'node:crypto';
import { chunkTable, parseHeader } from '@entrofleet/artifact';
import {
  Bitmap,
  type Desired,
  desiredSchema,
  type Measurement,
  type Phase,
  parseTopic,
  type Report,
  type Target,
  topics,
  type Want,
} from '@entrofleet/protocol';
import { connectAsync, type MqttClient } from 'mqtt';
import { exampleReport } from './fleet.examples.ts';

export interface FakeDeviceOptions {
  readonly url: string;
  readonly device: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly capabilities?: Partial<Report['capabilities']>;
}

/** What it says each step took. */
const PHASE_SECONDS = {
  Downloading: 2,
  Verifying: 0.5,
  Decoding: 1,
  Testing: 0.5,
  Activating: 0.1,
};

/** A device without an engine: it speaks the protocol over real MQTT and checks what it gets. */
export class FakeDevice {
  readonly name: string;
  /** Every desired state is answered with this failure while it is set. */
  failure: Report['error'] = null;
  /** It says nothing about desired states while this is set. */
  isStuck = false;
  /** What it measures of a model that it activates; null: nothing. */
  measure: (target: Target) => Partial<Measurement> | null = () => null;
  readonly seen: Desired[] = [];
  chunksReceived = 0;
  chunksDuplicate = 0;
  readonly #options: FakeDeviceOptions;
  #client: MqttClient | undefined;
  #boot = 0;
  #sequence = 0;
  #desired: Desired | undefined;
  #active: Target | undefined;
  #phase: Phase = 'Idle';
  #chunks = new Map<number, Uint8Array>();
  #measurement: Measurement | null = null;
  #baseline: Measurement | null = null;
  #download: Report['download'] = null;
  #window = 8;
  #arrivedSinceWant = 0;
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(options: FakeDeviceOptions) {
    this.#options = options;
    this.name = options.device;
  }

  static async start(options: FakeDeviceOptions): Promise<FakeDevice> {
    const device = new FakeDevice(options);
    await device.connect();
    return device;
  }

  get active(): string | undefined {
    return this.#active?.artifact.id;
  }

  async connect(): Promise<void> {
    this.#boot++;
    this.#sequence = 0;
    const presence = (online: boolean) =>
      JSON.stringify({ schemaVersion: 1, device: this.name, online, boot: this.#boot });
    const topic = topics.presence(this.name);
    const client = await connectAsync(this.#options.url, {
      protocolVersion: 5,
      reconnectPeriod: 200,
      will: { topic, payload: Buffer.from(presence(false)), qos: 1, retain: true },
    });
    this.#client = client;
    client.on('message', (from, payload) => this.#take(from, payload));
    client.on('connect', () => void this.#welcome(presence(true)));
    await this.#welcome(presence(true));
  }

  /** Leaves without a word, as on a power loss; the broker publishes the will. */
  async vanish(): Promise<void> {
    clearTimeout(this.#stallTimer);
    const client = this.#client;
    this.#client = undefined;
    client?.stream.destroy();
    await client?.endAsync(true);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#stallTimer);
    await this.#client?.endAsync(true);
  }

  report(change: Partial<Report> = {}): void {
    const identity = (target: Target | null | undefined) =>
      target == null
        ? null
        : { model: target.model, variant: target.variant, artifactId: target.artifact.id };
    const base = exampleReport(this.name);
    const message: Report = {
      ...base,
      boot: this.#boot,
      sequence: ++this.#sequence,
      labels: { ...this.#options.labels },
      capabilities: { ...base.capabilities, ...this.#options.capabilities },
      observedRevision: this.#desired?.revision ?? 0,
      observedAttempt: this.#desired?.attempt ?? 0,
      phase: this.#phase,
      target: identity(this.#desired?.target),
      active: identity(this.#active),
      download: this.#download,
      phaseSeconds: this.#phase === 'Active' ? PHASE_SECONDS : {},
      measurement: this.#measurement,
      baseline: this.#baseline,
      error: this.#phase === 'Failed' ? this.failure : null,
      ...change,
    };
    this.#publish(topics.report(this.name), message);
  }

  /** Measures what it runs, and reports it. */
  measureAgain(): void {
    const target = this.#active;
    if (target !== undefined) this.#measurement = this.#measured(target);
    this.report();
  }

  /** Publishes anything, as a broken device would. */
  say(topic: string, payload: string): void {
    this.#client?.publish(topic, payload, { qos: 1 });
  }

  async #welcome(presence: string): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    client.publish(topics.presence(this.name), presence, { qos: 1, retain: true });
    await client.subscribeAsync(topics.desired(this.name), { qos: 1 });
    if (this.#phase === 'Downloading') await this.#fetch();
    this.report();
  }

  #take(topic: string, payload: Buffer): void {
    const parsed = parseTopic(topic);
    if (payload.length === 0) return;
    if (parsed?.kind === 'chunk') this.#accept(parsed.index, payload);
    if (parsed?.kind === 'desired') {
      const desired = desiredSchema.parse(JSON.parse(payload.toString()));
      if (desired.revision <= (this.#desired?.revision ?? 0) || this.isStuck) return;
      void this.#follow(desired);
    }
  }

  async #follow(desired: Desired): Promise<void> {
    this.#desired = desired;
    this.seen.push(desired);
    const { target } = desired;
    if (this.failure !== null) this.#phase = 'Failed';
    else if (target === null) this.#phase = 'Idle';
    else if (this.#active?.artifact.id === target.artifact.id) this.#phase = 'Active';
    else {
      this.#phase = 'Downloading';
      this.#chunks = new Map();
      await this.#fetch();
    }
    this.report();
  }

  async #fetch(): Promise<void> {
    const ref = this.#desired?.target?.artifact;
    if (ref === undefined) return;
    await this.#client?.subscribeAsync(topics.chunksOf(ref.id), { qos: 1 });
    this.#want();
  }

  #want(): void {
    const ref = this.#desired?.target?.artifact;
    if (ref === undefined || this.#phase !== 'Downloading') return;
    const lacking = new Bitmap(ref.chunkCount).inverted();
    for (const index of this.#chunks.keys()) lacking.delete(index);
    this.#arrivedSinceWant = 0;
    const want: Want = {
      schemaVersion: 1,
      device: this.name,
      artifact: ref.id,
      window: this.#window,
      chunkCount: ref.chunkCount,
      lacking: Buffer.from(lacking.toBytes()).toString('base64'),
    };
    this.#publish(topics.want(this.name), want);
    clearTimeout(this.#stallTimer);
    this.#stallTimer = setTimeout(() => this.#want(), 2500);
  }

  #accept(index: number, payload: Uint8Array): void {
    const ref = this.#desired?.target?.artifact;
    if (ref === undefined || this.#phase !== 'Downloading') return;
    if (this.#chunks.has(index)) {
      this.chunksDuplicate++;
      return;
    }
    this.chunksReceived++;
    this.#chunks.set(index, payload);
    this.#arrivedSinceWant++;
    if (this.#chunks.size === ref.chunkCount) {
      this.#complete(ref);
    } else if (index < ref.headerChunks.length || this.#arrivedSinceWant * 2 >= this.#window) {
      this.#want();
    }
  }

  /** Every chunk must have the hash that the header names. */
  #complete(ref: Target['artifact']): void {
    clearTimeout(this.#stallTimer);
    this.#client?.unsubscribe(topics.chunksOf(ref.id));
    const slices = ref.headerChunks.map((_, index) => this.#chunks.get(index) ?? new Uint8Array());
    const header = Buffer.concat(slices);
    const isIntact =
      sha256(header) === ref.id &&
      chunkTable(parseHeader(header)).every(
        (chunk) => sha256(this.#chunks.get(chunk.index) ?? new Uint8Array()) === chunk.sha256,
      );
    if (isIntact) this.#activate();
    else this.failure = { reason: 'HashMismatch', message: 'a chunk is damaged' };
    this.#phase = isIntact ? 'Active' : 'Failed';
    this.report();
  }

  #activate(): void {
    const target = this.#desired?.target ?? undefined;
    if (target === undefined) return;
    this.#active = target;
    this.#baseline = this.#measurement;
    this.#measurement = this.#measured(target);
    const { chunkCount, sizeBytes } = target.artifact;
    const chunks = [...this.#chunks.values()];
    this.#download = {
      chunksTotal: chunkCount,
      chunksHeld: chunkCount,
      bytesTotal: sizeBytes,
      bytesHeld: sizeBytes,
      bytesReceived: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
      bytesDuplicate: 0,
      chunksCorrupt: 0,
    };
  }

  #measured(target: Target): Measurement | null {
    const change = this.measure(target);
    if (change === null) return null;
    return {
      kind: 'Activation',
      measuredAt: new Date().toISOString(),
      artifactId: target.artifact.id,
      threads: 1,
      prefillTokensPerSecond: null,
      decodeTokensPerSecond: null,
      entropyDecodeGigabytesPerSecond: null,
      loadSeconds: null,
      peakRssBytes: null,
      temperatureCelsius: null,
      fingerprintDeviation: null,
      ...change,
    };
  }

  #publish(topic: string, message: object): void {
    this.#client?.publish(topic, JSON.stringify(message), { qos: 1 });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
