import type { FleetEvent, Member, Rollout, Schemas } from '@entrofleet/client';
import { conditionsText, eventsText, factLines, section, selectorText } from './described.text.ts';
import { ownerText } from './owner.text.ts';
import { progressText } from './rollout.outcome.ts';
import { ageText, figure, labelsText, orDash, textTable, waveNumber } from './text.table.ts';

const MEMBERS_SHOWN = 25;

type Gate = Schemas['Rollout']['spec']['strategy']['gates'][number];

type GateResult = Rollout['status']['gates'][number];

export function describedRollout(
  rollout: Rollout,
  of: { members: readonly Member[]; events: readonly FleetEvent[]; nowMs: number },
): string {
  const { metadata, spec, status } = rollout;
  const { nowMs } = of;
  return [
    factLines([
      ['Name', metadata.name],
      ['Labels', labelsText(metadata.labels)],
      ['Owner', ownerText(metadata.owner)],
      ['Age', ageText(metadata.creationTimestamp, nowMs)],
      ['Model', spec.model],
      ['Variant', spec.variant ?? `the best that fits, for ${spec.preference.toLowerCase()}`],
      ['Devices', selectorText(spec.selector)],
      ['Generation', `${metadata.generation}, observed ${status.observedGeneration}`],
      ['Revision', String(status.revision)],
      ['Artifacts', orDash(artifactsText(status))],
      ['Given up', givenUpText(status.abandoned, nowMs)],
      ['Status', progressText(rollout)],
    ]),
    section('Strategy', strategyText(spec.strategy)),
    section('Conditions', conditionsText(status.conditions, nowMs)),
    section('Gates', gatesText(spec.strategy.gates, status.gates)),
    section('Members', membersText(of.members, nowMs)),
    section('Events', eventsText(of.events, nowMs)),
  ].join('');
}

function artifactsText({ artifactId, artifactIds }: Rollout['status']): string {
  return (artifactId === null ? artifactIds : [artifactId]).join(', ');
}

function givenUpText(abandoned: Rollout['status']['abandoned'], nowMs: number): string {
  if (abandoned === null) return '-';
  const { how, reason, message, at } = abandoned;
  return `${how}, ${reason}, ${ageText(at, nowMs)} ago: ${message}`;
}

function strategyText(strategy: Rollout['spec']['strategy']): string {
  const { windows, pace, errorThreshold } = strategy;
  const waves = strategy.waves.map(({ count, percent }) =>
    count === undefined ? `${percent}%` : String(count),
  );
  const facts: [string, string][] = [
    ['Waves', waves.join(', ')],
    ['Max unavailable', orDash(strategy.maxUnavailable)],
    ['Approval', strategy.approval],
    ['On failure', strategy.onFailure],
    ['Retries', String(strategy.retries.limit)],
  ];
  if (pace !== null) facts.push(['Pace', JSON.stringify(pace)]);
  if (windows.download.length > 0) facts.push(['Downloads', JSON.stringify(windows.download)]);
  if (windows.activation.length > 0)
    facts.push(['Activations', JSON.stringify(windows.activation)]);
  if (errorThreshold !== null) {
    facts.push([
      'Error threshold',
      `${errorThreshold.percent}% of at least ${errorThreshold.minimumSample}`,
    ]);
  }
  return factLines(facts);
}

function gatesText(gates: readonly Gate[], results: readonly GateResult[]): string {
  if (gates.length === 0) return '';
  const rows = gates.flatMap((gate) => {
    const judged = results.filter((result) => result.gate === gate.name);
    const bound = boundText(gate);
    if (judged.length === 0) return [[gate.name, bound, '-', '-', 'not judged yet', '-', '-', '']];
    return judged.map((result) => [
      gate.name,
      bound,
      waveNumber(result.wave),
      result.hardwareClass,
      result.outcome,
      figure(result.observed, 3),
      String(result.samples),
      result.message,
    ]);
  });
  const titles = ['GATE', 'BOUND', 'WAVE', 'CLASS', 'OUTCOME', 'OBSERVED', 'SAMPLES', 'MESSAGE'];
  return textTable([titles, ...rows]);
}

function boundText({ metric, against, min, max, statistic }: Gate): string {
  const figureText = against === 'Previous' ? `${metric} over previous` : metric;
  const bounds = [min === undefined ? '' : `>= ${min}`, max === undefined ? '' : `<= ${max}`];
  return `${statistic.toLowerCase()} ${figureText} ${bounds.filter((b) => b !== '').join(', ')}`;
}

/** Counts of each state, then those that need a look. */
function membersText(members: readonly Member[], nowMs: number): string {
  const counts = new Map<string, number>();
  for (const { state } of members) counts.set(state, (counts.get(state) ?? 0) + 1);
  const summary = [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
  const others = members.filter(({ state }) => state !== 'Active');
  const rows = others
    .slice(0, MEMBERS_SHOWN)
    .map((member) => [
      member.device,
      waveNumber(member.wave),
      member.state,
      orDash(member.reason),
      ageText(member.progressAt, nowMs),
      member.message,
    ]);
  const left = others.length - rows.length;
  return [
    `${summary || 'none'}\n`,
    rows.length === 0
      ? ''
      : textTable([['DEVICE', 'WAVE', 'STATE', 'REASON', 'PROGRESS', 'MESSAGE'], ...rows]),
    left > 0 ? `and ${left} more; see "entrofleet get members ROLLOUT"\n` : '',
  ].join('');
}
