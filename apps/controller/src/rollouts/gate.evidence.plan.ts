import type { Gate, GateMetric, Measurement } from '@entrofleet/protocol';

/** A started device as gates see it. */
export interface GateMember {
  readonly device: string;
  readonly hardwareClass: string;
  /** The wave it was started in. */
  readonly wave: number;
  /** It is online and runs what it shall run. Others, e.g. offline ones, are not judged. */
  readonly isActive: boolean;
  /** When the controller first saw it active. */
  readonly activatedAt: string | null;
  /** What it shall run. */
  readonly artifactId: string;
  /** What it ran before, where that is known; a baseline of anything else says nothing. */
  readonly previousArtifactId?: string | null;
  readonly measurement: Measurement | null;
  readonly baseline: Measurement | null;
}

/** What one device says about one gate. */
export type Evidence =
  | { readonly device: string; readonly value: number; readonly text: () => string }
  | { readonly device: string; readonly missing: string };

/**
 * Two measurements that are farther apart, by the device's own clock, are not compared: heat,
 * power mode and neighbours on the board are not the same any more.
 */
const COMPARABLE_DAYS = 7;
const DAY_MS = 24 * 3600 * 1000;

/** The figure to hold against the bounds, with its arithmetic, or why there is none. */
export function evidenceOf(gate: Gate, member: GateMember): Evidence {
  const { device, measurement } = member;
  const missing = (why: string): Evidence => ({ device, missing: why });
  if (measurement === null) return missing('has measured nothing');
  if (measurement.artifactId !== member.artifactId) return missing('has not measured this model');
  const value = measurement[gate.metric] ?? null;
  if (value === null) return missing(`has no ${gate.metric} for this model`);
  if (gate.against === 'Fixed') {
    return { device, value, text: () => figureText(gate.metric, value) };
  }
  const base = baselineOf(gate.metric, member, measurement);
  if (typeof base === 'string') return missing(base);
  const ratio = value / base;
  const text = () => {
    const parts = [value, base].map((x) => figureText(gate.metric, x)).join(' / ');
    return `${parts} = ${ratio.toFixed(3)}`;
  };
  return { device, value: ratio, text };
}

/** The previous model's figure, or why there is none that can be divided by. */
function baselineOf(
  metric: GateMetric,
  member: GateMember,
  measurement: Measurement,
): number | string {
  const { baseline, previousArtifactId } = member;
  if (baseline === null) return 'has no measurement of a previous model';
  const isKnown = previousArtifactId != null && previousArtifactId !== member.artifactId;
  const isOther =
    baseline.artifactId === member.artifactId ||
    (isKnown && baseline.artifactId !== previousArtifactId);
  if (isOther) return 'has a baseline of another model than the previous one';
  const base = baseline[metric] ?? null;
  if (base === null) return `has no ${metric} for its previous model`;
  if (base <= 0) return `has ${base} for its previous model, which gives no ratio`;
  const apartMs = Math.abs(Date.parse(measurement.measuredAt) - Date.parse(baseline.measuredAt));
  if (apartMs <= COMPARABLE_DAYS * DAY_MS) return base;
  const days = Math.round(apartMs / DAY_MS);
  return `measured its previous model ${days} days apart, ${COMPARABLE_DAYS} are allowed`;
}

/** A figure in the unit of its metric's name, except that bytes are read as MiB. */
export function figureText(metric: GateMetric, value: number): string {
  if (metric === 'peakRssBytes') return `${(value / 1024 / 1024).toFixed(1)} MiB`;
  return String(Number(value.toPrecision(4)));
}
