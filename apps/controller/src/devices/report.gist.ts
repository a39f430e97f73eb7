import { createHash } from 'node:crypto';
import type { Measurement, Report } from '@entrofleet/protocol';

/** Readings that differ by less than this share of the larger one are taken for the same. */
const NOISE = 0.1;
/** What is stored of a device's readings is at most so old, on the device's own clock. */
const REFRESH_MS = 300_000;

/** What counts of a report, small enough to be held for every device. */
export interface ReportGist {
  /** Of all that is no reading: any difference is news. */
  readonly digest: string;
  /** Readings, which never come twice the same; `null` where one is absent. */
  readonly readings: readonly (number | null)[];
  readonly atMs: number;
}

/** Says `next` nothing that a person or a rollout would want to know, compared with `stored`? */
export function saysTheSame(stored: ReportGist, next: ReportGist): boolean {
  return (
    stored.digest === next.digest &&
    stored.readings.every((reading, index) => isClose(reading, next.readings[index] ?? null))
  );
}

/** The stored readings are due to be replaced by newer ones, also when they are much the same. */
export function isOutdated(stored: ReportGist, next: ReportGist): boolean {
  return Math.abs(next.atMs - stored.atMs) >= REFRESH_MS;
}

/** A report is asked for its gist several times on its way. */
const known = new WeakMap<Report, ReportGist>();

export function gistOf(report: Report): ReportGist {
  const gist = known.get(report) ?? computeGist(report);
  known.set(report, gist);
  return gist;
}

function computeGist(report: Report): ReportGist {
  const { at, sequence, capabilities, measurement, baseline, ...facts } = report;
  const { diskFreeBytes, memoryAvailableBytes, linkBytesPerSecond, ...machine } = capabilities;
  const { readBytesPerSecond, ...hardware } = machine;
  const measured = split(measurement);
  const before = split(baseline ?? null);
  const text = sortedJson({
    ...facts,
    hardware,
    measurement: measured.facts,
    baseline: before.facts,
  });
  return {
    digest: createHash('sha256').update(text).digest('base64'),
    readings: [
      diskFreeBytes,
      linkBytesPerSecond ?? null,
      readBytesPerSecond ?? null,
      ...measured.readings,
      ...before.readings,
    ],
    atMs: Date.parse(at),
  };
}

function isClose(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= NOISE * Math.max(Math.abs(a), Math.abs(b));
}

/** Which measurement it is, and its figures in a fixed order. */
function split(measurement: Measurement | null): {
  facts: object | null;
  readings: (number | null)[];
} {
  if (measurement === null) return { facts: null, readings: [] };
  const { measuredAt, kind, artifactId, threads, residency, ...figures } = measurement;
  const named = Object.entries(figures).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    facts: { kind, artifactId, threads, residency, figures: named.map(([name]) => name) },
    readings: named.map(([, figure]) => figure ?? null),
  };
}

/** The same text for the same value: PostgreSQL gives keys back in an order of its own. */
function sortedJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, part]) => `"${key}":${sortedJson(part)}`).join(',')}}`;
}
