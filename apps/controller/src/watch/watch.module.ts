import { Global, Module } from '@nestjs/common';
import { ObjectLists } from '../objects/object.lists.ts';
import { ChangeFeed } from './change.feed.ts';
import { ObjectChanges } from './object.changes.store.ts';
import { VersionStore } from './version.store.ts';
import { WatchStreams } from './watch.streams.ts';
import { WatchSweep } from './watch.sweep.ts';

@Global()
@Module({
  providers: [VersionStore, ChangeFeed, ObjectChanges, WatchStreams, WatchSweep, ObjectLists],
  exports: [ChangeFeed, ObjectChanges, WatchStreams, ObjectLists],
})
export class WatchModule {}
