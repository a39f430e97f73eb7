import { Module } from '@nestjs/common';
import { ArtifactsModule } from '../artifacts/artifacts.module.ts';
import { DevicesModule } from '../devices/devices.module.ts';
import { ModelsModule } from '../models/models.module.ts';
import { ChunkReuse } from './chunk.reuse.ts';
import { DeltaOffers } from './delta.offers.ts';
import { RevisionArtifacts } from './revision.artifacts.ts';
import { RevisionStore } from './revision.store.ts';
import { RolloutActionController } from './rollout.action.controller.ts';
import { RolloutController } from './rollout.controller.ts';
import { RolloutDryRunController } from './rollout.dry.run.controller.ts';
import { RolloutDryRun } from './rollout.dry.run.ts';
import { RolloutExecutors } from './rollout.executors.ts';
import { RolloutFactsReader } from './rollout.facts.reader.ts';
import { RolloutReconciler } from './rollout.reconciler.ts';
import { RolloutRecordModule } from './rollout.record.module.ts';
import { RolloutService } from './rollout.service.ts';
import { RolloutWorker } from './rollout.worker.ts';

@Module({
  imports: [RolloutRecordModule, DevicesModule, ModelsModule, ArtifactsModule],
  controllers: [RolloutController, RolloutActionController, RolloutDryRunController],
  providers: [
    RolloutService,
    RolloutFactsReader,
    RolloutDryRun,
    ChunkReuse,
    DeltaOffers,
    RevisionArtifacts,
    RevisionStore,
    RolloutExecutors,
    RolloutReconciler,
    RolloutWorker,
  ],
  exports: [RolloutService],
})
export class RolloutsModule {}
