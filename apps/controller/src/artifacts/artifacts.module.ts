import { Module } from '@nestjs/common';
import { ArtifactController } from './artifact.controller.ts';
import { ArtifactStore } from './artifact.store.ts';

@Module({
  controllers: [ArtifactController],
  providers: [ArtifactStore],
  exports: [ArtifactStore],
})
export class ArtifactsModule {}
