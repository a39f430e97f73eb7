import type { Artifact, FleetEvent, Model } from '@entrofleet/client';
import { sizeText } from '../size.text.ts';
import { conditionsText, eventsText, factLines, section } from './described.text.ts';
import { ownerText } from './owner.text.ts';
import { ageText, figure, labelsText, orDash, textTable } from './text.table.ts';

export function describedModel(
  { metadata, spec, status }: Model,
  of: { events: readonly FleetEvent[]; nowMs: number },
): string {
  const variants = status.variants.map((variant) => [
    variant.name,
    variant.recipe,
    variant.phase === 'Compressing'
      ? `${variant.phase} ${Math.floor(variant.progress * 100)}%`
      : variant.phase,
    variant.quality === null ? '-' : sizeText(variant.quality.sizeBytes),
    figure(variant.quality?.bitsPerWeight, 3),
    figure(variant.quality?.perplexityRatio, 4),
    variant.quality === null ? '-' : variant.quality.withinBound ? 'yes' : 'no',
    orDash(variant.artifactId?.slice(0, 12)),
    variant.message,
  ]);
  return [
    factLines([
      ['Name', metadata.name],
      ['Labels', labelsText(metadata.labels)],
      ['Owner', ownerText(metadata.owner)],
      ['Age', ageText(metadata.creationTimestamp, of.nowMs)],
      ['Source', spec.source.path],
      ['Generation', `${metadata.generation}, observed ${status.observedGeneration}`],
      ['Perplexity bound', `${spec.quality.maxPerplexityRatio} x that of the source`],
      ['Context', `${spec.serving.contextLength} tokens`],
    ]),
    section('Variants', textTable([VARIANT_TITLES, ...variants])),
    section('Conditions', conditionsText(status.conditions, of.nowMs)),
    section('Events', eventsText(of.events, of.nowMs)),
  ].join('');
}

const VARIANT_TITLES = [
  'VARIANT',
  'RECIPE',
  'PHASE',
  'SIZE',
  'BITS',
  'RATIO',
  'WITHIN',
  'ARTIFACT',
  'MESSAGE',
];

export function describedArtifact(artifact: Artifact, nowMs: number): string {
  const { ref, quality } = artifact;
  return factLines([
    ['Id', artifact.id],
    ['Model', artifact.model],
    ['Variant', `${artifact.variant}, recipe ${artifact.recipe}`],
    ['Age', ageText(artifact.createdAt, nowMs)],
    ['Size', `${ref.sizeBytes} bytes (${sizeText(ref.sizeBytes)}), ${ref.chunkCount} chunks`],
    ['Memory', sizeText(artifact.memoryBytes)],
    ['Context', `${artifact.contextLength} tokens`],
    ['Bits per weight', figure(quality?.bitsPerWeight, 4)],
    [
      'Perplexity',
      `${figure(quality?.perplexity, 4)}, ratio ${figure(quality?.perplexityRatio, 4)}`,
    ],
  ]);
}
