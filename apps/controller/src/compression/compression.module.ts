import { Module } from '@nestjs/common';
import { ArtifactsModule } from '../artifacts/artifacts.module.ts';
import { ModelsModule } from '../models/models.module.ts';
import { CompressionReconciler } from './compression.reconciler.ts';
import { CompressionSweep } from './compression.sweep.ts';
import { CompressionWorker } from './compression.worker.ts';

@Module({
  imports: [ModelsModule, ArtifactsModule],
  providers: [CompressionReconciler, CompressionWorker, CompressionSweep],
})
export class CompressionModule {}
