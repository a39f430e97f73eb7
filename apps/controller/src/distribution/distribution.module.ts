import { Module } from '@nestjs/common';
import { ArtifactsModule } from '../artifacts/artifacts.module.ts';
import { ChunkDistributor } from './chunk.distributor.ts';
import { ChunkLibrary } from './chunk.library.ts';

@Module({ imports: [ArtifactsModule], providers: [ChunkLibrary, ChunkDistributor] })
export class DistributionModule {}
