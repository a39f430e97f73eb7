import type { Device, Target } from '@entrofleet/protocol';
import { mib } from './fitness.plan.ts';
import { earliest, type Stall } from './stall.plan.ts';
import type { Predict } from './update.prediction.ts';

/** A delta that is wanted and neither made nor given up. */
export interface OpenDelta {
  /** Ids of artifacts. */
  readonly base: string;
  readonly target: string;
  /** Since when the target is there, so that the delta can be made. */
  readonly since: string;
}

/** No delta is waited for any longer. */
export const DELTA_WAIT_SECONDS_MAX = 300;
/** Of the time that fetching takes without a delta: so the wait costs less than it may save. */
const WAITED_SHARE = 0.5;
/** How soon it is looked again whether the delta is there. */
const LOOK_SECONDS = 5;

/**
 * Why nothing is started yet: devices that are to begin run a model from which a delta is just being
 * made, and fetching without it takes so long that waiting pays. What the delta will save is not
 * known before it is made, so the wait is bounded by what is: half the time in which the median
 * device fetches what it lacks, at the link speed it has measured. Devices that have measured none
 * are not waited for.
 */
export function awaitDeltas(of: {
  devices: readonly { readonly device: Device; readonly target: Target }[];
  open: readonly OpenDelta[];
  predict: Predict | undefined;
  now: string;
}): Stall | undefined {
  const { devices, open, predict, now } = of;
  if (open.length === 0 || predict === undefined) return undefined;
  const waits = open.flatMap((delta) => {
    const group = devices.filter(
      ({ device, target }) =>
        target.artifact.id === delta.target &&
        device.status.report?.active?.artifactId === delta.base,
    );
    const wait = waitFor(delta, group, predict);
    return wait !== undefined && wait.until > now ? wait : [];
  });
  const [first] = waits.toSorted((a, b) => b.until.localeCompare(a.until));
  if (first === undefined) return undefined;
  const lookAt = new Date(Date.parse(now) + LOOK_SECONDS * 1000).toISOString();
  const message = `${first.message}; nothing is started until it is there, or ${first.until}`;
  return {
    reason: 'AwaitingDelta',
    message,
    until: earliest([first.until, lookAt]),
    isPause: false,
  };
}

function waitFor(
  { since }: OpenDelta,
  group: readonly { readonly device: Device; readonly target: Target }[],
  predict: Predict,
): { until: string; message: string } | undefined {
  const fetches = group.flatMap(({ device, target }) => {
    const link = device.status.report?.capabilities.linkBytesPerSecond ?? null;
    if (link === null || link <= 0) return [];
    const { bytesToFetch } = predict(device, target);
    return { bytesToFetch, link, seconds: bytesToFetch / link };
  });
  const median = fetches.toSorted((a, b) => a.seconds - b.seconds)[fetches.length >> 1];
  const [first] = group;
  if (median === undefined || first === undefined) return undefined;
  const waitSeconds = Math.min(DELTA_WAIT_SECONDS_MAX, WAITED_SHARE * median.seconds);
  const until = new Date(Date.parse(since) + waitSeconds * 1000).toISOString();
  const { active } = first.device.status.report ?? {};
  const devices = group.length === 1 ? '1 device runs' : `${group.length} devices run`;
  const message =
    `a delta is being made from ${active?.model} ${active?.variant}, which ${devices}; without it ` +
    `the median of ${fetches.length} fetches ${mib(median.bytesToFetch)} / ${mib(median.link)}/s = ` +
    `${median.seconds.toFixed(0)} s, so that ${waitSeconds.toFixed(0)} s are waited from ${since}`;
  return { until, message };
}
