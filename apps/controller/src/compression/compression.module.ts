import { Module } from '@nestjs/common';
import { ArtifactsModule } from '../artifacts/artifacts.module.ts';
import { DeltaCollector } from '../artifacts/delta.collector.ts';
import { ModelsModule } from '../models/models.module.ts';
import { CompressionReconciler } from './compression.reconciler.ts';
import { CompressionSweep } from './compression.sweep.ts';
import { CompressionWorker } from './compression.worker.ts';
import { DeltaWishes } from './delta.wishes.ts';
import { DeltaWorker } from './delta.worker.ts';
import { StepRunner } from './step.runner.ts';
import { VariantRecord } from './variant.record.ts';
import { WorkCollector } from './work.collector.ts';

@Module({
  imports: [ModelsModule, ArtifactsModule],
  providers: [
    DeltaWishes,
    DeltaWorker,
    DeltaCollector,
    VariantRecord,
    StepRunner,
    CompressionReconciler,
    CompressionWorker,
    CompressionSweep,
    WorkCollector,
  ],
})
export class CompressionModule {}
