import type { Desired, Device, Report, Target } from '@entrofleet/protocol';

/** How a device stands to a target, from what was asked of it and what it last said. */
export interface MemberStanding {
  /** What was asked of it, when that is this target. */
  readonly asked: Desired | undefined;
  /** The last report, when it speaks of what is asked now. */
  readonly report: Report | undefined;
  /** Another revision than ours was the last that it has seen. */
  readonly isElsewhere: boolean;
  readonly isActive: boolean;
  /** Why it says that it has failed. */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
}

const AT_WORK: ReadonlySet<Report['phase']> = new Set([
  'Downloading',
  'Verifying',
  'Staged',
  'Decoding',
  'Testing',
  'Activating',
]);

export function standingOf(device: Device, target: Target): MemberStanding {
  const { desired, report } = device.status;
  const none = { report: undefined, isElsewhere: false, isActive: false, failure: undefined };
  if (desired === null || !isSameTarget(desired.target, target)) {
    return { asked: undefined, ...none };
  }
  const asked = desired;
  if (report === null || report.observedRevision < asked.revision) return { asked, ...none };
  const id = target.artifact.id;
  // A device that has seen a higher revision than ours, for something else, follows somebody else.
  if (report.target?.artifactId !== id) {
    return { asked, ...none, isElsewhere: report.observedRevision > asked.revision };
  }
  const isActive = report.phase === 'Active' && report.active?.artifactId === id;
  const failure = isActive ? undefined : failureIn(report, id);
  return { asked, report, isElsewhere: false, isActive, failure };
}

/** A device that went back by itself, after it had been active, has failed as well. */
function failureIn(report: Report, id: string): MemberStanding['failure'] {
  if (report.phase === 'Failed') {
    const { error } = report;
    if (error === null) return { reason: 'Failed', message: 'the device says it failed, not why' };
    return { reason: error.reason, message: `${error.reason}: ${error.message}` };
  }
  const { rolledBack } = report;
  if (rolledBack == null || rolledBack.from.artifactId !== id) return undefined;
  if (AT_WORK.has(report.phase)) return undefined;
  const message = `${rolledBack.reason}: ${rolledBack.message}`;
  return { reason: rolledBack.reason, message: `went back by itself: ${message}` };
}

/** The same work for a device; what is derived from the artifact needs no comparison. */
export function isSameTarget(a: Target | null, b: Target): boolean {
  return (
    a !== null &&
    a.artifact.id === b.artifact.id &&
    a.model === b.model &&
    a.variant === b.variant &&
    a.contextLength === b.contextLength &&
    a.samplePrompt === b.samplePrompt
  );
}
