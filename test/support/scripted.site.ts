import { type Caps, ChunkPump, DistributionPlan, LanePlan } from '@entrofleet/distribution';
import {
  Bitmap,
  type Desired,
  parseTopic,
  type Report,
  reportSchema,
  type Target,
  topics,
  wantSchema,
} from '@entrofleet/protocol';
import { connectAsync, type MqttClient } from 'mqtt';
import { onTestFinished, vi } from 'vitest';
import type { EncodedModel } from './encoded.model.ts';

interface Published {
  readonly artifact: string;
  readonly lane: string;
  /** Of one copy, which the broker hands to each of the takers. */
  readonly sizeBytes: number;
  readonly takers: number;
  readonly atMs: number;
}

/** The controller's side of many devices, with the distributor's real decisions. */
export class ScriptedSite {
  readonly #client: MqttClient;
  readonly #pump: ChunkPump;
  readonly #models = new Map<string, EncodedModel>();
  readonly #asked = new Map<string, Set<string>>();
  readonly #revisions = new Map<string, number>();
  readonly reports = new Map<string, Report>();
  /** Chunks handed to the broker. */
  readonly published: Published[] = [];

  private constructor(client: MqttClient, caps: Caps) {
    this.#client = client;
    this.#pump = new ChunkPump({
      plan: new DistributionPlan(),
      lanes: new LanePlan(caps),
      nowMs: () => performance.now(),
      isConnected: () => client.connected,
      read: async ({ artifact, index }) => this.#models.get(artifact)?.source.read(index),
      publish: async ({ artifact, index, lane, takers }, payload) => {
        const sizeBytes = payload.length;
        this.published.push({ artifact, lane, sizeBytes, takers, atMs: performance.now() });
        const topic = topics.chunk(artifact, index, lane);
        await client.publishAsync(topic, Buffer.from(payload), { qos: 1 });
        return true;
      },
      onFailure: (_, error) => Promise.reject(error),
    });
  }

  static async connect(use: { url: string; caps: Caps }): Promise<ScriptedSite> {
    const client = await connectAsync(use.url, { protocolVersion: 5 });
    const site = new ScriptedSite(client, use.caps);
    onTestFinished(async () => {
      site.#pump.stop();
      await client.endAsync(true);
    });
    client.on('message', (topic, payload) => site.#take(topic, payload));
    await client.subscribeAsync([topics.everyWant, topics.everyReport], { qos: 1 });
    return site;
  }

  /** What has gone over the uplinks of the devices: each that listens gets its own copy. */
  deliveredBytes(model: EncodedModel): number {
    return this.published
      .filter(({ artifact }) => artifact === model.target.artifact.id)
      .reduce((sum, { sizeBytes, takers }) => sum + sizeBytes * takers, 0);
  }

  /** Devices that have asked for chunks of it here. */
  askedFor(model: EncodedModel): string[] {
    return [...(this.#asked.get(model.target.artifact.id) ?? [])].sort();
  }

  async want(devices: readonly string[], model: EncodedModel): Promise<void> {
    this.#models.set(model.target.artifact.id, model);
    for (const device of devices) await this.#publishDesired(device, model.target);
  }

  async converged(devices: readonly string[], model: EncodedModel): Promise<void> {
    await vi.waitFor(
      () => {
        const late = devices.filter((device) => {
          const report = this.reports.get(device);
          const isActive = report?.active?.artifactId === model.target.artifact.id;
          return !(report?.phase === 'Active' && isActive);
        });
        if (late.length > 0) throw new Error(`not yet: ${late.join(', ')}`);
      },
      { timeout: 60_000, interval: 50 },
    );
  }

  async #publishDesired(device: string, target: Target): Promise<void> {
    const revision = (this.#revisions.get(device) ?? 0) + 1;
    this.#revisions.set(device, revision);
    const issuedAt = new Date().toISOString();
    const desired: Desired = {
      ...{ schemaVersion: 1, device, revision, rollout: 'demo', attempt: 0, target, issuedAt },
    };
    const text = JSON.stringify(desired);
    await this.#client.publishAsync(topics.desired(device), text, { qos: 1, retain: true });
  }

  #take(topic: string, payload: Buffer): void {
    const parsed = parseTopic(topic);
    const message: unknown = JSON.parse(payload.toString());
    if (parsed?.kind === 'report') {
      this.reports.set(parsed.device, reportSchema.parse(message));
      return;
    }
    const want = wantSchema.parse(message);
    const ref = this.#models.get(want.artifact)?.target.artifact;
    if (ref === undefined) return;
    const asked = this.#asked.get(ref.id) ?? new Set();
    this.#asked.set(ref.id, asked.add(want.device));
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    const { chunkSizeBytes } = ref;
    this.#pump.want({ ...want, headerChunks: ref.headerChunks.length, chunkSizeBytes, lacking });
  }
}
