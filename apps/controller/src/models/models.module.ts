import { Module } from '@nestjs/common';
import { ModelStore } from './model.store.ts';

@Module({ providers: [ModelStore], exports: [ModelStore] })
export class ModelsModule {}
