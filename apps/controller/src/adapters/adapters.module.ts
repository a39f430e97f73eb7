import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CONFIG, type Config } from '../config.ts';
import { ReadinessChecks } from '../health/readiness.ts';
import { BlobStore } from './blobs.ts';
import { Clock, SystemClock } from './clock.ts';
import { Database } from './db.ts';
import { Log } from './log.ts';
import { MessageBus, MqttBus } from './mqtt.ts';
import { KeyQueue, RedisKeyQueue } from './queue.ts';

/** The outside world: everything here opens a connection or reads the machine. */
@Global()
@Module({
  providers: [
    { provide: Log, inject: [CONFIG], useFactory: (config: Config) => new Log(config.logLevel) },
    { provide: Clock, useClass: SystemClock },
    {
      provide: Database,
      inject: [CONFIG, Log],
      useFactory: (config: Config, log: Log) => Database.open(config, log),
    },
    {
      provide: KeyQueue,
      inject: [CONFIG, Log],
      useFactory: (config: Config, log: Log) =>
        new RedisKeyQueue({ url: config.redisUrl, prefix: config.queuePrefix, log }),
    },
    {
      provide: MessageBus,
      inject: [CONFIG, Log],
      useFactory: (config: Config, log: Log) => new MqttBus({ url: config.mqttUrl, log }),
    },
    {
      provide: ReadinessChecks,
      inject: [Database, KeyQueue, MessageBus],
      useFactory: (database: Database, queue: KeyQueue, bus: MessageBus) => {
        const checks = new ReadinessChecks();
        checks.add('database', () => database.ping());
        checks.add('redis', () => queue.ping());
        checks.add('broker', () => bus.ping());
        return checks;
      },
    },
    {
      provide: BlobStore,
      inject: [CONFIG],
      useFactory: (config: Config) => BlobStore.open(config.blobFolder),
    },
  ],
  exports: [Log, Clock, Database, KeyQueue, MessageBus, BlobStore, ReadinessChecks],
})
export class AdaptersModule implements OnApplicationShutdown {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(MessageBus) private readonly bus: MessageBus,
  ) {}

  /** The queue first: its handlers still write to the database while they stop. */
  async onApplicationShutdown(): Promise<void> {
    await this.queue.close();
    await this.bus.close();
    await this.database.close();
  }
}
