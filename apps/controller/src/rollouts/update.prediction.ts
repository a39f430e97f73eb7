import {
  type Device,
  hardwareClassOf,
  type Phase,
  type Report,
  type Target,
} from '@entrofleet/protocol';
import { mib } from './fitness.plan.ts';
import { estimateReuse, type LackingBytes, type Reuse } from './reuse.plan.ts';

/** Seconds per byte of artifact that the devices of a class took in each phase, and fixed ones. */
export interface ClassPace {
  /** Median over the class of seconds per artifact byte, for verifying, decoding and testing. */
  readonly secondsPerByte: number;
  /** Median seconds of activating. */
  readonly activateSeconds: number;
  /** Updates it was learned from. */
  readonly samples: number;
}

export interface UpdatePrediction {
  readonly bytesToFetch: number;
  /** From being started to active, when nothing holds it; null: too little is known. */
  readonly seconds: number | null;
  readonly explanation: string;
}

/** Phases whose length goes with the artifact's size. */
const SIZED_PHASES: readonly Phase[] = ['Verifying', 'Decoding', 'Testing'];
/** Phases of an update in which the device itself works. */
const WORKING_PHASES: readonly Phase[] = ['Downloading', ...SIZED_PHASES, 'Activating'];

/** What one update will take: fetching at the measured link speed, then as its class did before. */
export function predictUpdate(of: {
  device: Device;
  target: Target;
  reuse: Reuse;
  paces: ReadonlyMap<string, ClassPace>;
}): UpdatePrediction {
  const { device, target, reuse } = of;
  const { bytesToFetch } = reuse;
  const report = device.status.report;
  if (report?.active?.artifactId === target.artifact.id) {
    return { bytesToFetch: 0, seconds: 0, explanation: reuse.explanation };
  }
  const link = report?.capabilities.linkBytesPerSecond ?? null;
  const pace = of.paces.get(classOf(device));
  const isLinkKnown = bytesToFetch === 0 || (link !== null && link > 0);
  const fetched = `${mib(bytesToFetch)} to fetch (${reuse.explanation})`;
  if (!isLinkKnown || pace === undefined) {
    const unknown = isLinkKnown
      ? 'how long is not known: no device of its class has been updated yet'
      : 'how long is not known: its link speed has not been measured, which takes a download of ' +
        'more than 256 KiB';
    return { bytesToFetch, seconds: null, explanation: `${fetched}; ${unknown}` };
  }
  const fetchSeconds = bytesToFetch === 0 ? 0 : bytesToFetch / (link ?? 1);
  const sizedSeconds = pace.secondsPerByte * target.artifact.sizeBytes;
  const seconds = fetchSeconds + sizedSeconds + pace.activateSeconds;
  const speed = link === null ? '' : ` / ${mib(link)}/s = ${fetchSeconds.toFixed(1)} s`;
  const explanation =
    `${fetched}${speed}; ${(sizedSeconds + pace.activateSeconds).toFixed(1)} s to verify, ` +
    `decode, test and activate, as ${pace.samples} of its class did`;
  return { bytesToFetch, seconds, explanation };
}

/** What an update of any device to any target will take. */
export type Predict = (device: Device, target: Target) => UpdatePrediction;

export function predictor(of: {
  lackingBytes: LackingBytes;
  paces: ReadonlyMap<string, ClassPace>;
}): Predict {
  const { lackingBytes, paces } = of;
  return (device, target) => {
    const reuse = estimateReuse({ device, target, lackingBytes });
    return predictUpdate({ device, target, reuse, paces });
  };
}

/** What is known of past updates, by hardware class; classes without any are absent. */
export function classPaces(devices: readonly Device[]): ReadonlyMap<string, ClassPace> {
  const samples = new Map<string, { perByte: number; activate: number }[]>();
  for (const device of devices) {
    const sample = paceOf(device.status.report);
    if (sample === undefined) continue;
    const name = classOf(device);
    const others = samples.get(name);
    if (others === undefined) samples.set(name, [sample]);
    else others.push(sample);
  }
  return new Map(
    [...samples].map(([name, list]) => [
      name,
      {
        secondsPerByte: median(list.map(({ perByte }) => perByte)),
        activateSeconds: median(list.map(({ activate }) => activate)),
        samples: list.length,
      },
    ]),
  );
}

/** What an update has cost, from the report of the device that has made it; null: not known. */
export function actualUpdate(
  report: Report | null,
  artifactId: string,
): { bytesFetched: number; seconds: number } | null {
  if (report === null || report.phase !== 'Active' || report.download === null) return null;
  if (report.active?.artifactId !== artifactId || report.target?.artifactId !== artifactId) {
    return null;
  }
  const seconds = WORKING_PHASES.reduce((sum, phase) => sum + (report.phaseSeconds[phase] ?? 0), 0);
  return { bytesFetched: report.download.bytesReceived, seconds };
}

function paceOf(report: Report | null): { perByte: number; activate: number } | undefined {
  const { phaseSeconds = {}, download = null, phase } = report ?? {};
  const bytes = download?.bytesTotal ?? 0;
  if (phase !== 'Active' || bytes === 0 || phaseSeconds.Decoding === undefined) return undefined;
  const seconds = SIZED_PHASES.reduce((sum, each) => sum + (phaseSeconds[each] ?? 0), 0);
  return { perByte: seconds / bytes, activate: phaseSeconds.Activating ?? 0 };
}

function classOf(device: Device): string {
  const capabilities = device.status.report?.capabilities;
  return hardwareClassOf({ labels: device.metadata.labels, capabilities });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = 0, high = 0] = [(sorted.length - 1) >> 1, sorted.length >> 1].map((i) => sorted[i]);
  return (low + high) / 2;
}
