export { ChunkPump, type ChunkPumpPorts } from './chunk.pump.ts';
export { DistributionPlan, type NextChunk, type WantList } from './distribution.plan.ts';
export { type Caps, LanePlan, NO_CAPS } from './lane.plan.ts';
