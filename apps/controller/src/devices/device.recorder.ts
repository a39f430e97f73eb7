import type { Report } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { mapInSlices } from '../objects/sliced.work.ts';
import type { ConcernedDevice } from '../rollouts/rollout.wakeups.ts';
import { type Heard, type Intake, judgeIntake } from './device.intake.ts';
import { type Beat, LivenessStore } from './liveness.store.ts';
import { gistOf, isOutdated, type ReportGist, saysTheSame } from './report.gist.ts';

export interface Recorded {
  /** Devices of which all that was heard is stored, or needs no storing. */
  readonly done: ReadonlySet<string>;
  /** Devices with news, as they were and as they are. */
  readonly changed: readonly ConcernedDevice[];
}

/**
 * Stores what was heard of many devices. Most reports say nothing new: they are told by the gist of
 * what is stored, without reading it, and cost a small row.
 */
@Injectable()
export class DeviceRecorder {
  /** Of the stored reports. A gist that is missing or wrong costs reading a row, no more. */
  readonly #gists = new Map<string, ReportGist>();

  constructor(
    @Inject(LivenessStore) private readonly liveness: LivenessStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** @throws when the database is away; then anything may be stored or not. */
  async store(batch: ReadonlyMap<string, Heard>): Promise<Recorded> {
    const known = await mapInSlices(batch, ([name, heard]) => this.#beatOf(name, heard));
    const alive = await this.liveness.beat(known.filter((beat) => beat !== undefined));
    const others = new Map([...batch].filter(([name]) => !alive.has(name)));
    const intakes = await this.#judge(others);
    await this.liveness.beat(ofKind(intakes, 'Beat').map(({ beat }) => beat));
    const changed = await this.#write(ofKind(intakes, 'Write'));
    const registered = await this.#register(ofKind(intakes, 'Register'));
    const stored = [...changed.keys(), ...registered.keys()];
    const settled = intakes.filter(({ kind }) => kind === 'Beat' || kind === 'Nothing');
    return {
      done: new Set([...alive, ...stored, ...settled.map(({ name }) => name)]),
      changed: [...changed.values(), ...registered.values()].flat(),
    };
  }

  /** The sign of life that a report amounts to when it says what is stored already. */
  #beatOf(name: string, { report, presence, reports }: Heard): Beat | undefined {
    const stored = this.#gists.get(name);
    if (report === undefined || presence !== undefined || stored === undefined) return undefined;
    const gist = gistOf(report);
    if (!saysTheSame(stored, gist) || isOutdated(stored, gist)) return undefined;
    return { name, boot: report.boot, sequence: report.sequence, reports };
  }

  async #judge(batch: ReadonlyMap<string, Heard>): Promise<Intake[]> {
    const records = await this.liveness.records([...batch.keys()]);
    const now = this.clock.instant();
    return mapInSlices(batch, ([name, heard]) => {
      const record = records.get(name);
      const intake = judgeIntake(record, { ...heard, name, now });
      this.#remember(name, intake.kind === 'Beat' ? record?.device.status.report : null);
      return intake;
    });
  }

  /** @returns for each device written what changed: as it was and as it is, or nothing of note. */
  async #write(
    intakes: readonly Extract<Intake, { kind: 'Write' }>[],
  ): Promise<Map<string, ConcernedDevice[]>> {
    const written = await this.liveness.write(intakes.map(({ news }) => news));
    const changed = new Map<string, ConcernedDevice[]>();
    for (const { name, news, isNews } of intakes) {
      if (!written.has(name)) continue;
      this.#remember(name, news.status.report);
      changed.set(name, isNews ? [news.record.device, concerned(news)] : []);
    }
    return changed;
  }

  async #register(
    intakes: readonly Extract<Intake, { kind: 'Register' }>[],
  ): Promise<Map<string, ConcernedDevice[]>> {
    const registered = await this.liveness.register(intakes.map(({ news }) => news));
    const changed = new Map<string, ConcernedDevice[]>();
    for (const { name, news } of intakes) {
      if (!registered.has(name)) continue;
      this.log.info('device registered', { device: name });
      this.#remember(name, news.status.report);
      changed.set(name, [concerned(news)]);
    }
    return changed;
  }

  #remember(name: string, stored: Report | null | undefined): void {
    if (stored == null) this.#gists.delete(name);
    else this.#gists.set(name, gistOf(stored));
  }
}

function concerned(news: {
  readonly labels: ConcernedDevice['metadata']['labels'];
  readonly status: ConcernedDevice['status'];
}): ConcernedDevice {
  return { metadata: { labels: news.labels }, status: news.status };
}

function ofKind<K extends Intake['kind']>(
  intakes: readonly Intake[],
  kind: K,
): Extract<Intake, { kind: K }>[] {
  return intakes.filter((intake): intake is Extract<Intake, { kind: K }> => intake.kind === kind);
}
