import { type DynamicModule, Module } from '@nestjs/common';
import { AdaptersModule } from './adapters/adapters.module.ts';
import { ArtifactsModule } from './artifacts/artifacts.module.ts';
import { CompressionModule } from './compression/compression.module.ts';
import { CONFIG, type Config } from './config.ts';
import { DevicesModule } from './devices/devices.module.ts';
import { DistributionModule } from './distribution/distribution.module.ts';
import { EventsModule } from './events/events.module.ts';
import { HealthModule } from './health/health.module.ts';
import { HttpModule } from './http/http.module.ts';
import { KubernetesModule } from './kube/kubernetes.module.ts';
import { leadershipModule } from './kube/leadership.module.ts';
import { MetricsModule } from './metrics/metrics.module.ts';
import { ModelsModule } from './models/models.module.ts';
import { RolloutsModule } from './rollouts/rollouts.module.ts';
import { SweepModule } from './sweep/sweep.module.ts';
import { WatchModule } from './watch/watch.module.ts';

@Module({})
class ConfigModule {}

@Module({})
class AppModule {}

/** The whole controller for one configuration; `config.roles` decide what runs. */
export function appModule(config: Config): DynamicModule {
  return {
    module: AppModule,
    imports: [
      {
        module: ConfigModule,
        global: true,
        providers: [{ provide: CONFIG, useValue: config }],
        exports: [CONFIG],
      },
      AdaptersModule,
      leadershipModule(config),
      HttpModule,
      HealthModule,
      WatchModule,
      EventsModule,
      ModelsModule,
      ArtifactsModule,
      CompressionModule,
      DevicesModule,
      RolloutsModule,
      DistributionModule,
      SweepModule,
      ...(config.roles.has('kubernetes') ? [KubernetesModule] : []),
      MetricsModule,
    ],
  };
}
