import { Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { Log } from '../adapters/log.ts';
import { ProblemFilter } from './problem.filter.ts';
import { RequestGuard } from './request.guard.ts';

/** What every route has in common. */
@Module({
  providers: [
    { provide: APP_FILTER, inject: [Log], useFactory: (log: Log) => new ProblemFilter(log) },
    { provide: APP_GUARD, useClass: RequestGuard },
  ],
})
export class HttpModule {}
