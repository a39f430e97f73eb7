import type { ChunkSource } from '@entrofleet/artifact';
import {
  Bitmap,
  type Desired,
  parseTopic,
  type Report,
  reportSchema,
  topics,
  type Want,
  wantSchema,
} from '@entrofleet/protocol';
import { connectAsync, type MqttClient } from 'mqtt';
import { onTestFinished, vi } from 'vitest';

/** A chunk just sent is under way, so it is not sent again for so long. */
const UNDER_WAY_MS = 1500;

/**
 * The controller's side of one device, as a test wants it: publishes desired states, hands out
 * chunks, collects reports.
 */
export class ScriptedController {
  readonly #client: MqttClient;
  readonly #device: string;
  readonly #sources = new Map<string, ChunkSource>();
  readonly #sentAtMs = new Map<string, number>();
  #revision = 0;
  readonly reports: Report[] = [];
  chunksSent = 0;
  /** Chunks that may still be sent; lower it to make a download stop half-way. */
  allowance = Number.POSITIVE_INFINITY;

  private constructor(client: MqttClient, device: string) {
    this.#client = client;
    this.#device = device;
  }

  static async connect(url: string, device: string): Promise<ScriptedController> {
    const client = await connectAsync(url, { protocolVersion: 5 });
    onTestFinished(() => client.endAsync());
    const controller = new ScriptedController(client, device);
    client.on('message', (topic, payload) => void controller.#take(topic, payload));
    await client.subscribeAsync([topics.want(device), topics.report(device)], { qos: 1 });
    return controller;
  }

  /** Hands out an artifact's chunks from now on. */
  serve(id: string, source: ChunkSource): void {
    this.#sources.set(id, source);
  }

  /** Publishes the desired state under the next revision. */
  async want(
    target: Desired['target'],
    more: Pick<Partial<Desired>, 'attempt' | 'hold' | 'onAbandon' | 'timeouts'> = {},
  ): Promise<void> {
    this.#revision++;
    const desired: Desired = {
      schemaVersion: 1,
      device: this.#device,
      revision: this.#revision,
      rollout: 'demo',
      attempt: 0,
      target,
      issuedAt: new Date().toISOString(),
      ...more,
    };
    await this.#client.publishAsync(topics.desired(this.#device), JSON.stringify(desired), {
      qos: 1,
      retain: true,
    });
  }

  /** Waits for a report about the newest revision, or any, that holds. */
  async reported(holds: (report: Report) => boolean, timeoutMs = 30_000): Promise<Report> {
    return vi.waitFor(
      () => {
        const found = this.reports.find(holds);
        if (found !== undefined) return found;
        throw new Error(`no such report; the last one is ${JSON.stringify(this.reports.at(-1))}`);
      },
      { timeout: timeoutMs, interval: 20 },
    );
  }

  async #take(topic: string, payload: Buffer): Promise<void> {
    const message: unknown = JSON.parse(payload.toString());
    if (parseTopic(topic)?.kind === 'report') this.reports.push(reportSchema.parse(message));
    else await this.#distribute(wantSchema.parse(message));
  }

  async #distribute(want: Want): Promise<void> {
    const source = this.#sources.get(want.artifact);
    if (source === undefined) return;
    const lacking = Bitmap.fromBytes(Buffer.from(want.lacking, 'base64'), want.chunkCount);
    let room = want.window;
    for (const index of lacking.indices()) {
      const topic = topics.chunk(want.artifact, index);
      if (room === 0 || this.allowance === 0) return;
      if (Date.now() - (this.#sentAtMs.get(topic) ?? 0) < UNDER_WAY_MS) continue;
      room--;
      this.allowance--;
      this.chunksSent++;
      this.#sentAtMs.set(topic, Date.now());
      await this.#client.publishAsync(topic, Buffer.from(await source.read(index)), { qos: 1 });
    }
  }
}
