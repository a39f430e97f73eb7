import { Module } from '@nestjs/common';
import { FleetFiguresStore } from './fleet.figures.store.ts';
import { FleetMetrics } from './fleet.metrics.ts';
import { MetricsController } from './metrics.controller.ts';
import { ProcessMetrics } from './process.metrics.ts';

@Module({
  controllers: [MetricsController],
  providers: [ProcessMetrics, FleetFiguresStore, FleetMetrics],
})
export class MetricsModule {}
