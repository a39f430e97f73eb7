import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { BlobStore } from '../adapters/blobs.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { KeyQueue } from '../adapters/queue.ts';
import type { DeltaPair, DeltaRecord } from '../artifacts/delta.record.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { CONFIG, type Config } from '../config.ts';
import { messageOf, reasonOf, Stalled } from '../errors.ts';
import { runCompressor } from './compressor.process.ts';
import { DELTA_QUEUE, parseDeltaKey } from './delta.key.ts';
import { SourceError } from './source.error.ts';

/** A delta that saves less than that is not worth a second way of fetching. */
const WORTHWHILE_SHARE = 0.9;
/** One that began so often has taken its worker down each time. */
const STARTS_MAX = 3;
const MESSAGE_LENGTH = 1500;

/** Makes deltas, in processes with the role `worker`, one at a time. */
@Injectable()
export class DeltaWorker implements OnApplicationBootstrap {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(Database) private readonly database: Database,
    @Inject(BlobStore) private readonly blobs: BlobStore,
    @Inject(DeltaStore) private readonly deltas: DeltaStore,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('worker')) return;
    // Not before: a key that cannot be looked at yet would be left to the next sweep.
    this.database.whenReady().then(
      () => this.consume(),
      () => undefined,
    );
  }

  private consume(): void {
    this.queue.consume(DELTA_QUEUE, async (key, signal) => {
      await this.reconcile(key, signal);
      return undefined;
    });
  }

  /**
   * Makes the delta unless there is one or it was given up. It may be called for any pair at any
   * time; the same artifacts give the same delta, whoever makes it.
   * @throws Stalled for a text that is no key; what is worth another attempt.
   */
  async reconcile(text: string, signal: AbortSignal): Promise<void> {
    const pair = parseDeltaKey(text);
    if (pair === undefined) throw new Stalled('BadKey', `"${text}" is no pair of artifacts`);
    const record = await this.deltas.find(pair);
    if (!(await this.needsWork(record))) return;
    // An artifact that is not there yet comes with a variant, and one that has gone is not needed.
    for (const id of [pair.base, pair.target]) {
      if ((await this.blobs.sizeBytes(id)) === undefined) return;
    }
    const starts = 1 + (record?.state === 'Making' ? record.starts : 0);
    if (starts > STARTS_MAX) {
      const message = `it was begun ${STARTS_MAX} times and never finished`;
      return this.settle(pair, { state: 'Failed', reason: 'TooManyAttempts', message });
    }
    await this.deltas.save(pair, { state: 'Making', starts });
    try {
      await this.make(pair, signal);
    } catch (error) {
      if (signal.aborted) await this.takeStartBack(pair, record);
      if (!(error instanceof SourceError)) throw error;
      const [reason, message] = [reasonOf(error) ?? 'DeltaFailed', messageOf(error)];
      await this.settle(pair, { state: 'Failed', reason, message });
    }
  }

  /** False when the delta was given up, or made and its file is really there. */
  async needsWork(record: DeltaRecord | undefined): Promise<boolean> {
    if (record === undefined || record.state === 'Making') return true;
    return record.state === 'Ready' && (await this.blobs.sizeBytes(record.ref.id)) === undefined;
  }

  /** It was interrupted, which is no fault of the delta's. */
  private async takeStartBack(pair: DeltaPair, before: DeltaRecord | undefined): Promise<void> {
    if (before === undefined) await this.deltas.remove(pair);
    else await this.deltas.save(pair, before);
  }

  private async make(pair: DeltaPair, signal: AbortSignal): Promise<void> {
    const draftPath = this.blobs.newDraftPath();
    try {
      const { result } = await runCompressor(
        {
          task: 'delta',
          basePath: this.blobs.path(pair.base),
          targetPath: this.blobs.path(pair.target),
          draftPath,
          threads: this.config.compressionThreads,
        },
        'delta',
        { signal },
      );
      const { ref, reuseSizeBytes } = result;
      if (ref.sizeBytes >= WORTHWHILE_SHARE * reuseSizeBytes) {
        const { sizeBytes } = ref;
        return await this.settle(pair, { state: 'NotSmaller', sizeBytes, reuseSizeBytes });
      }
      await this.blobs.adopt(draftPath, ref.id);
      await this.settle(pair, { state: 'Ready', ref, reuseSizeBytes });
    } finally {
      await this.blobs.removeDraft(draftPath);
    }
  }

  private async settle(pair: DeltaPair, record: DeltaRecord): Promise<void> {
    const kept =
      record.state === 'Failed'
        ? { ...record, message: record.message.slice(0, MESSAGE_LENGTH) }
        : record;
    await this.deltas.save(pair, kept);
    const { state, ...details } = kept;
    this.log[state === 'Failed' ? 'warn' : 'info']('delta made', {
      ...pair,
      state,
      ...('ref' in details
        ? { sizeBytes: details.ref.sizeBytes, reuseSizeBytes: details.reuseSizeBytes }
        : details),
    });
  }
}
