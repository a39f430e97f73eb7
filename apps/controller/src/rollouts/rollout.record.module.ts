import { Module } from '@nestjs/common';
import { RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';

/** What others need of rollouts: to read them, and to have them looked at. */
@Module({
  providers: [RolloutStore, RolloutWakeups],
  exports: [RolloutStore, RolloutWakeups],
})
export class RolloutRecordModule {}
