import type { Member, Strategy } from '@entrofleet/protocol';

/** Reason of a failed member that later waves do not wait for; set by the resume action. */
export const LEFT_BEHIND = 'LeftBehind';

/** Failed members that count until somebody resumes or retries. */
export function countedFailures(members: readonly Member[]): Member[] {
  return members.filter((member) => member.state === 'Failed' && member.reason !== LEFT_BEHIND);
}

/** More devices have failed than may. */
export interface Excess {
  readonly reason: 'MemberFailed' | 'ErrorThreshold';
  readonly message: string;
}

/**
 * Judges the failures of the members that have ended, active or failed. Without a threshold the
 * first failure is one too many.
 */
export function judgeFailures(
  members: readonly Member[],
  threshold: Strategy['errorThreshold'],
): Excess | undefined {
  const failures = countedFailures(members);
  const [first, ...more] = failures;
  if (first === undefined) return undefined;
  const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
  const what = `device "${first.device}" failed${others}: ${first.message}`;
  if (threshold === null) return { reason: 'MemberFailed', message: what };
  const active = members.filter((member) => member.state === 'Active').length;
  const ended = active + failures.length;
  const percent = (100 * failures.length) / ended;
  if (ended < threshold.minimumSample || percent <= threshold.percent) return undefined;
  const sum =
    `${failures.length} of ${ended} devices failed, ${percent.toFixed(1)} %; the error threshold ` +
    `is ${threshold.percent} % of at least ${threshold.minimumSample}`;
  return { reason: 'ErrorThreshold', message: `${sum}; ${what}` };
}
