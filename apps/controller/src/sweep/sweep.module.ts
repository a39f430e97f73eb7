import { Global, Module } from '@nestjs/common';
import { Sweep } from './sweep.ts';

@Global()
@Module({ providers: [Sweep], exports: [Sweep] })
export class SweepModule {}
