import type { Device, FleetEvent } from '@entrofleet/client';
import { sizeText } from '../size.text.ts';
import { conditionsText, eventsText, factLines, section } from './described.text.ts';
import { ageText, figure, labelsText, orDash } from './text.table.ts';

type Report = NonNullable<Device['status']['report']>;

export function describedDevice(
  { metadata, spec, status }: Device,
  of: { events: readonly FleetEvent[]; nowMs: number },
): string {
  const { nowMs } = of;
  const { report, desired } = status;
  const wanted = desired?.target;
  return [
    factLines([
      ['Name', metadata.name],
      ['Labels', labelsText(metadata.labels)],
      ["Operator's labels", labelsText(spec.labels)],
      ['Age', ageText(metadata.creationTimestamp, nowMs)],
      ['Online', `${status.online ? 'yes' : 'no'}, seen ${ageText(status.lastSeen, nowMs)} ago`],
      ['Pinned', spec.pinned ? 'yes' : 'no'],
      ['Quarantined', spec.quarantined ? 'yes' : 'no'],
      ['Phase', orDash(report?.phase)],
      ['Serves', report?.active ? `${report.active.model} ${report.active.variant}` : '-'],
      ['Shall serve', wanted ? `${wanted.model} ${wanted.variant}` : '-'],
      ['Rollout', orDash(desired?.rollout)],
      ['Hold', orDash(desired?.hold)],
      ['Error', report?.error ? `${report.error.reason}: ${report.error.message}` : '-'],
      ['Endpoint', orDash(report?.endpoint)],
    ]),
    report === null ? '' : section('Capabilities', capabilitiesText(report)),
    section('Measured', measurementText(report?.measurement ?? null, nowMs)),
    section('Measured before', measurementText(report?.baseline ?? null, nowMs)),
    section('Download', downloadText(report?.download ?? null)),
    section('Conditions', conditionsText(status.conditions, nowMs)),
    section('Events', eventsText(of.events, nowMs)),
  ].join('');
}

function capabilitiesText({ capabilities: has, agentVersion }: Report): string {
  return factLines([
    ['Processor', `${has.architecture}, ${has.cores} cores, ${orDash(has.cpuModel)}`],
    ['Instructions', orDash(has.isa.join(' '))],
    ['Accelerator', orDash(has.accelerator)],
    ['Memory', `${sizeText(has.memoryBytes)}, ${bytes(has.memoryAvailableBytes)} available`],
    ['Disk free', bytes(has.diskFreeBytes)],
    ['Link', has.linkBytesPerSecond == null ? '-' : `${sizeText(has.linkBytesPerSecond)}/s`],
    ['Agent', agentVersion],
  ]);
}

function measurementText(measured: Report['measurement'], nowMs: number): string {
  if (measured === null) return '';
  return factLines([
    ['When', `${ageText(measured.measuredAt, nowMs)} ago, ${measured.threads} threads`],
    ['Artifact', measured.artifactId.slice(0, 12)],
    ['Decode', `${figure(measured.decodeTokensPerSecond, 1)} tokens/s`],
    ['Prefill', `${figure(measured.prefillTokensPerSecond, 1)} tokens/s`],
    ['Token, p95', `${figure(measured.p95TokenSeconds, 4)} s`],
    ['Load', `${figure(measured.loadSeconds, 1)} s`],
    ['Peak memory', bytes(measured.peakRssBytes)],
    ['Temperature', `${figure(measured.temperatureCelsius, 0)} C`],
    ['Perplexity', figure(measured.perplexity, 3)],
    ['Deviation', figure(measured.fingerprintDeviation, 4)],
  ]);
}

function downloadText(download: Report['download']): string {
  if (download === null) return '';
  return factLines([
    ['Held', `${sizeText(download.bytesHeld)} of ${sizeText(download.bytesTotal)}`],
    ['Received', sizeText(download.bytesReceived)],
    ['Twice', sizeText(download.bytesDuplicate)],
    ['Corrupt chunks', String(download.chunksCorrupt)],
  ]);
}

function bytes(value: number | null | undefined): string {
  return value === null || value === undefined ? '-' : sizeText(value);
}
