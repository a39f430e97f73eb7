import { Module } from '@nestjs/common';
import { RolloutRecordModule } from '../rollouts/rollout.record.module.ts';
import { DesiredStates } from './desired.states.ts';
import { DeviceController } from './device.controller.ts';
import { DeviceIngest } from './device.ingest.ts';
import { DeviceRecorder } from './device.recorder.ts';
import { DeviceService } from './device.service.ts';
import { DeviceStore } from './device.store.ts';
import { DeviceSweep } from './device.sweep.ts';
import { LivenessStore } from './liveness.store.ts';
import { TargetStore } from './target.store.ts';

@Module({
  imports: [RolloutRecordModule],
  controllers: [DeviceController],
  providers: [
    TargetStore,
    DeviceStore,
    LivenessStore,
    DeviceRecorder,
    DesiredStates,
    DeviceService,
    DeviceIngest,
    DeviceSweep,
  ],
  exports: [DeviceStore, DesiredStates],
})
export class DevicesModule {}
