import type { Artifact, Device, FleetEvent, Member, Model, Rollout } from '@entrofleet/client';
import { durationText, sizeText } from '../size.text.ts';
import { type Owner, ownerText } from './owner.text.ts';
import { waveText } from './rollout.outcome.ts';
import { ageText, figure, labelsText, orDash, waveNumber } from './text.table.ts';

/** One column of a table of objects. */
export interface Column<T> {
  readonly title: string;
  readonly isWide?: boolean;
  cell(object: T, nowMs: number): string;
}

const age = <T extends { metadata: { creationTimestamp: string } }>(): Column<T> => ({
  title: 'AGE',
  cell: ({ metadata }, nowMs) => ageText(metadata.creationTimestamp, nowMs),
});

const name = <T extends { metadata: { name: string } }>(): Column<T> => ({
  title: 'NAME',
  cell: ({ metadata }) => metadata.name,
});

const labels = <T extends { metadata: { labels: Record<string, string> } }>(): Column<T> => ({
  title: 'LABELS',
  isWide: true,
  cell: ({ metadata }) => labelsText(metadata.labels),
});

const owner = <T extends { metadata: { owner: Owner | null } }>(): Column<T> => ({
  title: 'OWNER',
  isWide: true,
  cell: ({ metadata }) => ownerText(metadata.owner),
});

export const MODEL_COLUMNS: readonly Column<Model>[] = [
  name(),
  {
    title: 'READY',
    cell: ({ status }) => {
      const ready = status.variants.filter(({ phase }) => phase === 'Ready').length;
      return `${ready}/${status.variants.length}`;
    },
  },
  {
    title: 'VARIANTS',
    cell: ({ status }) =>
      orDash(
        status.variants
          .map((v) => (v.phase === 'Ready' ? v.name : `${v.name}:${v.phase}`))
          .join(','),
      ),
  },
  age(),
  { title: 'SOURCE', isWide: true, cell: ({ spec }) => spec.source.path },
  owner(),
  labels(),
];

export const ROLLOUT_COLUMNS: readonly Column<Rollout>[] = [
  name(),
  { title: 'MODEL', cell: ({ spec }) => spec.model },
  { title: 'VARIANT', cell: ({ spec }) => spec.variant ?? 'best' },
  { title: 'PHASE', cell: ({ status }) => status.phase },
  { title: 'WAVE', cell: ({ status }) => waveText(status) },
  { title: 'ACTIVE', cell: ({ status: { counts } }) => `${counts.active}/${counts.selected}` },
  { title: 'UPDATING', cell: ({ status }) => String(status.counts.updating) },
  { title: 'FAILED', cell: ({ status }) => String(status.counts.failed) },
  age(),
  { title: 'OFFLINE', isWide: true, cell: ({ status }) => String(status.counts.offline) },
  { title: 'UNFIT', isWide: true, cell: ({ status }) => String(status.counts.unfit) },
  { title: 'CONFLICT', isWide: true, cell: ({ status }) => String(status.counts.conflict) },
  { title: 'REVISION', isWide: true, cell: ({ status }) => String(status.revision) },
  owner(),
  labels(),
];

export const DEVICE_COLUMNS: readonly Column<Device>[] = [
  name(),
  { title: 'ONLINE', cell: ({ status }) => (status.online ? 'yes' : 'no') },
  { title: 'PHASE', cell: ({ status }) => orDash(status.report?.phase) },
  { title: 'MODEL', cell: ({ status }) => orDash(status.report?.active?.model) },
  { title: 'VARIANT', cell: ({ status }) => orDash(status.report?.active?.variant) },
  { title: 'ROLLOUT', cell: ({ status }) => orDash(status.desired?.rollout) },
  {
    title: 'TOKENS/S',
    cell: ({ status }) => figure(status.report?.measurement?.decodeTokensPerSecond, 1),
  },
  { title: 'HELD', cell: heldText },
  { title: 'SEEN', cell: ({ status }, nowMs) => ageText(status.lastSeen, nowMs) },
  {
    title: 'ARCHITECTURE',
    isWide: true,
    cell: ({ status }) => orDash(status.report?.capabilities.architecture),
  },
  {
    title: 'MEMORY',
    isWide: true,
    cell: ({ status }) => {
      const memoryBytes = status.report?.capabilities.memoryBytes;
      return memoryBytes === undefined ? '-' : sizeText(memoryBytes);
    },
  },
  { title: 'AGENT', isWide: true, cell: ({ status }) => orDash(status.report?.agentVersion) },
  labels(),
];

function heldText({ spec }: Device): string {
  if (spec.quarantined) return 'quarantined';
  return spec.pinned ? 'pinned' : '-';
}

export const EVENT_COLUMNS: readonly Column<FleetEvent>[] = [
  { title: 'AGE', cell: ({ at }, nowMs) => ageText(at, nowMs) },
  { title: 'TYPE', cell: ({ type }) => type },
  { title: 'REASON', cell: ({ reason }) => reason },
  { title: 'OBJECT', cell: ({ object }) => `${object.kind}/${object.name}` },
  { title: 'MESSAGE', cell: ({ message }) => message },
];

export const ARTIFACT_COLUMNS: readonly Column<Artifact>[] = [
  { title: 'ID', cell: ({ id }) => id.slice(0, 12) },
  { title: 'MODEL', cell: ({ model }) => model },
  { title: 'VARIANT', cell: ({ variant }) => variant },
  { title: 'SIZE', cell: ({ ref }) => sizeText(ref.sizeBytes) },
  { title: 'BITS', cell: ({ quality }) => figure(quality?.bitsPerWeight, 3) },
  { title: 'PERPLEXITY', cell: ({ quality }) => figure(quality?.perplexity, 3) },
  { title: 'RATIO', cell: ({ quality }) => figure(quality?.perplexityRatio, 4) },
  { title: 'AGE', cell: ({ createdAt }, nowMs) => ageText(createdAt, nowMs) },
  { title: 'SHA-256', isWide: true, cell: ({ id }) => id },
];

export const MEMBER_COLUMNS: readonly Column<Member>[] = [
  { title: 'DEVICE', cell: ({ device }) => device },
  { title: 'WAVE', cell: ({ wave }) => waveNumber(wave) },
  { title: 'VARIANT', cell: ({ variant }) => orDash(variant) },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'REASON', cell: ({ reason }) => orDash(reason) },
  { title: 'PROGRESS', cell: ({ progressAt }, nowMs) => ageText(progressAt, nowMs) },
  { title: 'CLASS', isWide: true, cell: ({ hardwareClass }) => hardwareClass },
  { title: 'ATTEMPTS', isWide: true, cell: ({ attempts }) => String(attempts) },
  {
    title: 'PREDICTED',
    isWide: true,
    cell: ({ predicted }) => costText(predicted?.bytesToFetch, predicted?.seconds),
  },
  {
    title: 'ACTUAL',
    isWide: true,
    cell: ({ actual }) => costText(actual?.bytesFetched, actual?.seconds),
  },
  { title: 'MESSAGE', isWide: true, cell: ({ message }) => orDash(message) },
];

function costText(fetchedBytes: number | undefined, seconds: number | null | undefined): string {
  if (fetchedBytes === undefined) return '-';
  return `${sizeText(fetchedBytes)}, ${seconds == null ? '-' : durationText(seconds)}`;
}
