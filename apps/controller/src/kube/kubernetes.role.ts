import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { CONFIG, type Config } from '../config.ts';
import { EventStore } from '../events/event.store.ts';
import { ChangeFeed } from '../watch/change.feed.ts';
import { ObjectChanges } from '../watch/object.changes.store.ts';
import { KubeClient } from './kube.client.ts';
import { KubernetesSession } from './kubernetes.session.ts';
import { Leadership } from './leadership.ts';
import { SyncedKinds } from './synced.kinds.ts';
import { WatermarkStore } from './watermark.store.ts';

/** Serves Kubernetes while this process is the leader, and not a moment longer. */
@Injectable()
export class KubernetesRole implements OnApplicationBootstrap, OnModuleDestroy {
  #session: KubernetesSession | undefined;
  /** One turn after the other, however fast leadership comes and goes. */
  #turn: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void) | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(KubeClient) private readonly client: KubeClient,
    @Inject(Leadership) private readonly leadership: Leadership,
    @Inject(SyncedKinds) private readonly kinds: SyncedKinds,
    @Inject(Database) private readonly database: Database,
    @Inject(ChangeFeed) private readonly feed: ChangeFeed,
    @Inject(ObjectChanges) private readonly changes: ObjectChanges,
    @Inject(EventStore) private readonly events: EventStore,
    @Inject(WatermarkStore) private readonly watermarks: WatermarkStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#unsubscribe = this.leadership.whenChanged(() => this.#turnTo());
    void this.#turnTo();
  }

  async onModuleDestroy(): Promise<void> {
    this.#unsubscribe?.();
    this.#turn = this.#turn.then(() => this.#end());
    await this.#turn;
  }

  /** Resolves when nothing is done any more that is not this process' to do. */
  #turnTo(): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      if (!this.leadership.isLeader()) return this.#end();
      if (this.#session !== undefined) return;
      this.#session = this.#newSession();
      this.#session.start();
    });
    return this.#turn;
  }

  #newSession(): KubernetesSession {
    const { client, leadership, kinds, database, feed, changes } = this;
    const { events, watermarks, clock, log } = this;
    const config = this.config.kubernetes;
    if (config === undefined) throw new Error('the role kubernetes has no configuration');
    return new KubernetesSession({
      ...{ config, client, leadership, kinds, database, feed, changes },
      ...{ events, watermarks, clock, log },
    });
  }

  async #end(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.stop();
  }
}
