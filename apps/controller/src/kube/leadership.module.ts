import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  Optional,
} from '@nestjs/common';
import { Log } from '../adapters/log.ts';
import type { Config } from '../config.ts';
import { HttpKubeClient } from './http.kube.client.ts';
import { KubeClient } from './kube.client.ts';
import { KubeConnection } from './kube.connection.ts';
import { kubeCredentials } from './kube.credentials.ts';
import { LeaderElection } from './leader.election.ts';
import { AlwaysLeader, Leadership } from './leadership.ts';

/** Runs the election, and ends the connections to the API server when nobody needs them any more. */
@Module({})
class LeadershipModule implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    @Optional() @Inject(LeaderElection) private readonly election: LeaderElection | undefined,
    @Optional() @Inject(KubeClient) private readonly client: KubeClient | undefined,
  ) {}

  onApplicationBootstrap(): void {
    this.election?.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.election?.resign();
  }

  onApplicationShutdown(): void {
    this.client?.close();
  }
}

/**
 * Provides `Leadership` everywhere; with the role `kubernetes` also `KubeClient` and the
 * `LeaderElection` behind it.
 */
export function leadershipModule(config: Config): DynamicModule {
  const { kubernetes } = config;
  if (kubernetes === undefined) {
    const providers = [{ provide: Leadership, useClass: AlwaysLeader }];
    return { module: LeadershipModule, global: true, providers, exports: [Leadership] };
  }
  const { access, namespace, lease, identity, leaseMs: durationMs } = kubernetes;
  const connection = new KubeConnection(kubeCredentials(access));
  return {
    module: LeadershipModule,
    global: true,
    providers: [
      { provide: KubeClient, useValue: new HttpKubeClient({ connection, namespace }) },
      {
        provide: LeaderElection,
        inject: [KubeClient, Log],
        useFactory: (client: KubeClient, log: Log) =>
          new LeaderElection({ client, lease, identity, durationMs, log }),
      },
      { provide: Leadership, useExisting: LeaderElection },
    ],
    exports: [KubeClient, LeaderElection, Leadership],
  };
}
