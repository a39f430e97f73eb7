import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config.ts';
import { Sweep } from '../sweep/sweep.ts';
import { VersionStore } from './version.store.ts';

const TOMBSTONES_MAX = 10_000;

/** Keeps the history of deletions bounded. */
@Injectable()
export class WatchSweep {
  constructor(
    @Inject(Sweep) sweep: Sweep,
    @Inject(CONFIG) config: Config,
    @Inject(VersionStore) versions: VersionStore,
  ) {
    sweep.add('tombstones', () =>
      versions.prune({ olderThanMs: config.watchHistoryMs, most: TOMBSTONES_MAX }),
    );
  }
}
