import { Module } from '@nestjs/common';
import { ArtifactCollector } from '../artifacts/artifact.collector.ts';
import { ArtifactsModule } from '../artifacts/artifacts.module.ts';
import { ModelController } from './model.controller.ts';
import { ModelReferences } from './model.references.ts';
import { ModelService } from './model.service.ts';
import { ModelStore } from './model.store.ts';

@Module({
  imports: [ArtifactsModule],
  controllers: [ModelController],
  providers: [ModelStore, ModelReferences, ModelService, ArtifactCollector],
  exports: [ModelStore, ModelService, ModelReferences, ArtifactCollector],
})
export class ModelsModule {}
