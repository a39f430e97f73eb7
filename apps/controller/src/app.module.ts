import { type DynamicModule, Module } from '@nestjs/common';
import { AdaptersModule } from './adapters/adapters.module.ts';
import { ArtifactsModule } from './artifacts/artifacts.module.ts';
import { CONFIG, type Config } from './config.ts';
import { EventsModule } from './events/events.module.ts';
import { ModelsModule } from './models/models.module.ts';

@Module({})
class ConfigModule {}

/** The whole controller for one configuration; `config.roles` decide what runs. */
@Module({})
export class AppModule {
  static with(config: Config): DynamicModule {
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
        EventsModule,
        ModelsModule,
        ArtifactsModule,
      ],
    };
  }
}
