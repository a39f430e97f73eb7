import { ChunkPump, DistributionPlan, LanePlan, type NextChunk } from '@entrofleet/distribution';
import { topics } from '@entrofleet/protocol';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { Metrics } from '../adapters/metrics.ts';
import { BusError, MessageBus } from '../adapters/mqtt.ts';
import { CONFIG, type Config } from '../config.ts';
import { BadMessage } from '../devices/device.messages.ts';
import { messageOf } from '../errors.ts';
import { ChunkLibrary } from './chunk.library.ts';
import { DistributionMetrics } from './distribution.metrics.ts';
import { type ReceivedWant, readWant } from './want.message.ts';

/** Publishes wanted chunks, in processes with the role `distributor`. */
@Injectable()
export class ChunkDistributor implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #pump: ChunkPump;
  readonly #metrics: DistributionMetrics;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ChunkLibrary) private readonly library: ChunkLibrary,
    @Inject(MessageBus) private readonly bus: MessageBus,
    @Inject(Clock) clock: Clock,
    @Inject(Log) private readonly log: Log,
    @Inject(Metrics) metrics: Metrics,
  ) {
    const plan = new DistributionPlan();
    this.#metrics = new DistributionMetrics(metrics, plan);
    this.#pump = new ChunkPump({
      plan,
      lanes: new LanePlan(config.distributionCaps),
      nowMs: () => clock.now().getTime(),
      isConnected: () => bus.connected,
      read: async ({ artifact, index }) => (await library.open(artifact))?.source.read(index),
      publish: (chunk, payload) => this.#publish(chunk, payload),
      onFailure: async ({ artifact, index }, error) => {
        this.#metrics.failed();
        log.error('chunk cannot be sent', { artifact, index, error: messageOf(error) });
        await library.close(artifact);
      },
    });
  }

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('distributor')) return;
    this.bus.subscribe(topics.sharedWants, (topic, payload) => this.take(topic, payload));
    this.bus.onConnected(() => this.#pump.go());
  }

  onModuleDestroy(): void {
    this.#pump.stop();
  }

  /** A bad want-list is logged with its device and dropped. */
  take(topic: string, payload: Uint8Array): void {
    try {
      const received = readWant(topic, payload);
      if (received !== undefined) void this.#take(received);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.#metrics.dropped();
      this.log.warn('message dropped', { device: error.device, topic, error: error.message });
    }
  }

  async #take({ want, lacking }: ReceivedWant): Promise<void> {
    this.#metrics.asked();
    const artifact = await this.library.open(want.artifact);
    if (artifact === undefined || this.#pump.stopped) return;
    if (artifact.chunkCount !== want.chunkCount) {
      this.#metrics.dropped();
      const error = `it counts ${want.chunkCount} chunks of ${artifact.chunkCount}`;
      this.log.warn('message dropped', { device: want.device, artifact: want.artifact, error });
      return;
    }
    const { headerChunks, chunkSizeBytes } = artifact;
    this.#pump.want({ ...want, headerChunks, chunkSizeBytes, lacking });
  }

  /** Devices ask again for what they did not get, so nothing else has to be tried again here. */
  async #publish({ artifact, index, lane }: NextChunk, payload: Uint8Array): Promise<boolean> {
    try {
      await this.bus.publish({ topic: topics.chunk(artifact, index, lane), payload });
      this.#metrics.published(payload.length);
      return true;
    } catch (error) {
      if (error instanceof BusError && error.reason === 'BrokerUnavailable') return false;
      throw error;
    }
  }
}
