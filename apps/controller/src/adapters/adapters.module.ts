import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CONFIG, type Config } from '../config.ts';
import { ReadinessChecks } from '../health/readiness.ts';
import { DEPENDENCIES, needsOf } from '../health/role.needs.ts';
import { BlobStore } from './blobs.ts';
import { Clock, SystemClock } from './clock.ts';
import { Database } from './db.ts';
import { JobMetrics } from './job.metrics.ts';
import { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { MessageBus, MqttBus } from './mqtt.ts';
import { KeyQueue } from './queue.ts';
import { RedisKeyQueue } from './redis.queue.ts';

/** The outside world: everything here opens a connection or reads the machine. */
@Global()
@Module({
  providers: [
    { provide: Log, inject: [CONFIG], useFactory: (config: Config) => new Log(config.logLevel) },
    {
      provide: Clock,
      inject: [Database],
      useFactory: (database: Database) => new SystemClock(database),
    },
    { provide: Metrics, useFactory: () => new Metrics() },
    {
      provide: Database,
      inject: [CONFIG, Log],
      useFactory: (config: Config, log: Log) => Database.open(config, log),
    },
    {
      provide: KeyQueue,
      inject: [CONFIG, Log, Metrics],
      useFactory: (config: Config, log: Log, metrics: Metrics) => {
        const jobs = new JobMetrics(metrics);
        const { redisUrl: url, queuePrefix: prefix } = config;
        return new RedisKeyQueue({ url, prefix, log, onHandled: (key) => jobs.handled(key) });
      },
    },
    {
      provide: MessageBus,
      inject: [CONFIG, Log],
      useFactory: (config: Config, log: Log) => new MqttBus({ url: config.mqttUrl, log }),
    },
    {
      provide: ReadinessChecks,
      inject: [CONFIG, Database, KeyQueue, MessageBus],
      useFactory: (config: Config, database: Database, queue: KeyQueue, bus: MessageBus) => {
        const checks = new ReadinessChecks();
        const needs = needsOf(config.roles);
        const pings = { database, redis: queue, broker: bus };
        for (const name of DEPENDENCIES) {
          checks.add(name, () => pings[name].ping(), { isNeeded: needs.has(name) });
        }
        return checks;
      },
    },
    {
      provide: BlobStore,
      inject: [CONFIG],
      useFactory: (config: Config) => BlobStore.open(config.blobFolder),
    },
  ],
  exports: [Log, Clock, Metrics, Database, KeyQueue, MessageBus, BlobStore, ReadinessChecks],
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
