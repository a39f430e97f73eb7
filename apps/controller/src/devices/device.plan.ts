import {
  type Condition,
  type DeviceSpec,
  type DeviceStatus,
  type Labels,
  LIMITS,
  type Presence,
  type Report,
  withCondition,
} from '@entrofleet/protocol';

/** A device counts as offline after so many report intervals without a word. */
export const SILENT_INTERVALS = 3;

export const UNKNOWN_STATUS: DeviceStatus = {
  online: false,
  lastSeen: null,
  desired: null,
  report: null,
  conditions: [],
};

/** The device's own labels overlaid by the operator's, which are kept when there are too many. */
export function effectiveLabels(reported: Labels, operator: Labels): Labels {
  const own = Object.entries(reported).filter(([key]) => !Object.hasOwn(operator, key));
  const room = Math.max(0, LIMITS.labelsPerObject - Object.keys(operator).length);
  return { ...Object.fromEntries(own.slice(0, room)), ...operator };
}

/** Of two reports the one with the greater (`boot`, `sequence`) is newer. */
export function isNewer(report: Report, than: Report | null): boolean {
  if (than === null || report.boot !== than.boot) return report.boot > (than?.boot ?? 0);
  return report.sequence > than.sequence;
}

/** @returns `undefined` when the report is older than, or the same as, the one that is known. */
export function withReport(
  status: DeviceStatus,
  heard: { report: Report; generation: number; now: string },
): DeviceStatus | undefined {
  const { report, generation, now } = heard;
  if (!isNewer(report, status.report)) return undefined;
  const conditions = withCondition(status.conditions, {
    type: 'Synced',
    ...syncedBy(report),
    observedGeneration: generation,
    now,
  });
  return { ...status, online: true, lastSeen: now, report, conditions };
}

/** Does the device run what was asked of it, and if not, why not? */
function syncedBy(report: Report): Pick<Condition, 'status' | 'reason' | 'message'> {
  const serving = report.active && `${report.active.model} ${report.active.variant}`;
  const serves = `it serves ${serving ?? 'no model'}`;
  if (report.phase === 'Failed') {
    const reason = report.error?.reason ?? 'Failed';
    return { status: 'False', reason, message: `${report.error?.message ?? ''}; ${serves}` };
  }
  const isSettled = report.phase === 'Active' || report.phase === 'Idle';
  return { status: isSettled ? 'True' : 'Unknown', reason: report.phase, message: serves };
}

/**
 * @returns `undefined` when the message changes nothing: the last will of an earlier start of the
 * agent may arrive after the device is back.
 */
export function withPresence(
  status: DeviceStatus,
  presence: Presence,
  now: string,
): DeviceStatus | undefined {
  if (presence.boot < (status.report?.boot ?? 0) || presence.online === status.online) {
    return undefined;
  }
  return { ...status, online: presence.online, lastSeen: presence.online ? now : status.lastSeen };
}

/**
 * A device of which nothing was heard since then is silent; `undefined`: that cannot be told yet.
 *
 * @param listeningSinceMs since when everything that devices say has been heard.
 */
export function silentBefore(heard: {
  listeningSinceMs: number;
  nowMs: number;
  reportIntervalMs: number;
}): Date | undefined {
  const beforeMs = heard.nowMs - SILENT_INTERVALS * heard.reportIntervalMs;
  return heard.listeningSinceMs < beforeMs ? new Date(beforeMs) : undefined;
}

/** What an operator has changed, as events tell it. */
export function specChanges(
  before: DeviceSpec,
  after: DeviceSpec,
): { reason: string; message: string }[] {
  const told: { reason: string; message: string }[] = [];
  if (after.pinned !== before.pinned) {
    told.push({ reason: after.pinned ? 'Pinned' : 'Unpinned', message: '' });
  }
  if (after.quarantined !== before.quarantined) {
    told.push({ reason: after.quarantined ? 'Quarantined' : 'Released', message: '' });
  }
  const keys = new Set([...Object.keys(before.labels), ...Object.keys(after.labels)]);
  const changed = [...keys]
    .toSorted()
    .filter((key) => before.labels[key] !== after.labels[key])
    .map((key) => (key in after.labels ? `${key}=${after.labels[key]}` : `${key} removed`));
  if (changed.length > 0) told.push({ reason: 'Labelled', message: changed.join(', ') });
  return told;
}
