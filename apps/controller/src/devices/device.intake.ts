import type { DeviceStatus, Presence, Report } from '@entrofleet/protocol';
import { effectiveLabels, UNKNOWN_STATUS, withPresence, withReport } from './device.plan.ts';
import type { Beat, DeviceNews, DeviceRecord } from './liveness.store.ts';
import { gistOf, isOutdated, saysTheSame } from './report.gist.ts';

/** What was heard of one device since the last look; the newest of each kind. */
export interface Heard {
  readonly report?: Report;
  readonly presence?: Presence;
  /** Reports that `report` stands for. */
  readonly reports: number;
}

/** What becomes of what was heard of one device. */
export type Intake = { readonly name: string } & (
  | { readonly kind: 'Nothing' }
  | { readonly kind: 'Beat'; readonly beat: Beat }
  | { readonly kind: 'Register'; readonly news: DeviceNews }
  | {
      readonly kind: 'Write';
      readonly news: DeviceNews & { readonly record: DeviceRecord };
      /** Something a rollout may wait for, not only fresher readings. */
      readonly isNews: boolean;
    }
);

/** Decides from what is known of the device, if it is known, and what it said. */
export function judgeIntake(
  record: DeviceRecord | undefined,
  heard: Heard & { readonly name: string; readonly now: string },
): Intake {
  const { name, reports, now } = heard;
  const current = record?.device.status ?? UNKNOWN_STATUS;
  const generation = record?.device.metadata.generation ?? 1;
  const report = isFurther(heard.report, record) ? heard.report : undefined;
  const said = report && withReport(current, { report, generation, now });
  const status = (heard.presence && withPresence(said ?? current, heard.presence, now)) ?? said;
  if (status === undefined) return { name, kind: 'Nothing' };
  const { boot, sequence } = report ?? record?.heardUpTo ?? { boot: 0, sequence: 0 };
  const beat = { name, boot, sequence, reports: report === undefined ? 0 : reports };
  if (record === undefined) {
    // The first report of a device makes it known; its presence alone does not.
    if (report === undefined) return { name, kind: 'Nothing' };
    const news = { ...beat, labels: effectiveLabels(report.labels, {}), status };
    return { name, kind: 'Register', news };
  }
  const change = changeOf(current, status);
  if (change === 'None') return { name, kind: 'Beat', beat };
  const labels = effectiveLabels(status.report?.labels ?? {}, record.device.spec.labels);
  const news = { ...beat, labels, status, record };
  return { name, kind: 'Write', news, isNews: change === 'News' };
}

function isFurther(report: Report | undefined, record: DeviceRecord | undefined): boolean {
  if (report === undefined) return false;
  if (record === undefined) return true;
  const { boot, sequence } = record.heardUpTo;
  return report.boot > boot || (report.boot === boot && report.sequence > sequence);
}

function changeOf(before: DeviceStatus, after: DeviceStatus): 'News' | 'Readings' | 'None' {
  if (before.online !== after.online || before.report === null || after.report === null) {
    return 'News';
  }
  const [stored, next] = [gistOf(before.report), gistOf(after.report)];
  if (!saysTheSame(stored, next)) return 'News';
  return isOutdated(stored, next) ? 'Readings' : 'None';
}
