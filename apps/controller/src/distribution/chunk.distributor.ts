import { topics } from '@entrofleet/protocol';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { BusError, MessageBus } from '../adapters/mqtt.ts';
import { CONFIG, type Config } from '../config.ts';
import { BadMessage } from '../devices/device.messages.ts';
import { messageOf } from '../errors.ts';
import { ByteRate } from './byte.rate.ts';
import { ChunkLibrary } from './chunk.library.ts';
import { DistributionPlan, type NextChunk } from './distribution.plan.ts';
import { type ReceivedWant, readWant } from './want.message.ts';

/** Chunks read or published and not yet acknowledged by the broker; it bounds the memory. */
const SENDING_MAX = 16;

/** Publishes wanted chunks, in processes with the role `distributor`. */
@Injectable()
export class ChunkDistributor implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #plan = new DistributionPlan();
  readonly #rate: ByteRate;
  #sending = 0;
  /** Settles when the chunk before the next one has been handed to the bus. */
  #before: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ChunkLibrary) private readonly library: ChunkLibrary,
    @Inject(MessageBus) private readonly bus: MessageBus,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {
    this.#rate = new ByteRate(config.distributionBytesPerSecond);
  }

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('distributor')) return;
    this.bus.subscribe(topics.sharedWants, (topic, payload) => this.take(topic, payload));
    this.bus.onConnected(() => this.#pump());
  }

  onModuleDestroy(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** A bad want-list is logged with its device and dropped. */
  take(topic: string, payload: Uint8Array): void {
    try {
      const received = readWant(topic, payload);
      if (received !== undefined) void this.#take(received);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.log.warn('message dropped', { device: error.device, topic, error: error.message });
    }
  }

  async #take({ want, lacking }: ReceivedWant): Promise<void> {
    const artifact = await this.library.open(want.artifact);
    if (artifact === undefined || this.#stopped) return;
    if (artifact.chunkCount !== want.chunkCount) {
      const error = `it counts ${want.chunkCount} chunks of ${artifact.chunkCount}`;
      this.log.warn('message dropped', { device: want.device, artifact: want.artifact, error });
      return;
    }
    const { headerChunks } = artifact;
    this.#plan.want({ ...want, headerChunks, lacking }, this.#nowMs());
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#stopped && this.bus.connected && this.#sending < SENDING_MAX) {
      const nowMs = this.#nowMs();
      const waitMs = this.#rate.waitMs(nowMs);
      const chunk = waitMs > 0 ? undefined : this.#plan.next(nowMs);
      if (chunk === undefined) {
        const wakeMs = waitMs > 0 ? nowMs + waitMs : this.#plan.wakeMs();
        if (wakeMs !== undefined) this.#pumpIn(Math.max(1, wakeMs - nowMs));
        return;
      }
      this.#sending++;
      void this.#send(chunk);
    }
  }

  #pumpIn(delayMs: number): void {
    this.#timer = setTimeout(() => this.#pump(), delayMs);
  }

  /** Chunks are read side by side and published in the order in which they were decided. */
  async #send(chunk: NextChunk): Promise<void> {
    const before = this.#before;
    const turn = Promise.withResolvers<void>();
    this.#before = turn.promise;
    try {
      const artifact = await this.library.open(chunk.artifact);
      if (artifact === undefined) return this.#plan.forget(chunk.artifact);
      const payload = await artifact.source.read(chunk.index);
      this.#rate.spend(payload.length);
      await before;
      const topic = topics.chunk(chunk.artifact, chunk.index);
      const published = this.bus.publish({ topic, payload });
      turn.resolve();
      await published;
    } catch (error) {
      await this.#fail(chunk, error);
    } finally {
      turn.resolve();
      this.#sending--;
      this.#pump();
    }
  }

  /** Devices ask again for what they did not get, so nothing has to be tried again here. */
  async #fail(chunk: NextChunk, error: unknown): Promise<void> {
    if (error instanceof BusError && error.reason === 'BrokerUnavailable') {
      this.#plan.unsent(chunk);
      return;
    }
    if (this.#stopped) return;
    const { artifact, index } = chunk;
    this.log.error('chunk cannot be sent', { artifact, index, error: messageOf(error) });
    this.#plan.forget(artifact);
    await this.library.close(artifact);
  }

  #nowMs(): number {
    return this.clock.now().getTime();
  }
}
