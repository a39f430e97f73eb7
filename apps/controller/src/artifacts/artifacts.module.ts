import { Module } from '@nestjs/common';
import { ArtifactController } from './artifact.controller.ts';
import { ArtifactStore } from './artifact.store.ts';
import { DeltaStore } from './delta.store.ts';

@Module({
  controllers: [ArtifactController],
  providers: [ArtifactStore, DeltaStore],
  exports: [ArtifactStore, DeltaStore],
})
export class ArtifactsModule {}
