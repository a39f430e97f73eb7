import { Module } from '@nestjs/common';
import { ModelsModule } from '../models/models.module.ts';
import { RolloutRecordModule } from '../rollouts/rollout.record.module.ts';
import { RolloutsModule } from '../rollouts/rollouts.module.ts';
import { KubernetesRole } from './kubernetes.role.ts';
import { SyncedKinds } from './synced.kinds.ts';
import { WatermarkStore } from './watermark.store.ts';

/** Custom resources, in processes with the role `kubernetes` only. */
@Module({
  imports: [ModelsModule, RolloutRecordModule, RolloutsModule],
  providers: [SyncedKinds, WatermarkStore, KubernetesRole],
})
export class KubernetesModule {}
