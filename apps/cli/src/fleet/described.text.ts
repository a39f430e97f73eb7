import type { FleetEvent, Schemas } from '@entrofleet/client';
import { ageText, orDash, textTable } from './text.table.ts';

type Condition = Schemas['Rollout']['status']['conditions'][number];

/** `Key:  value` lines, values below each other. */
export function factLines(facts: readonly (readonly [string, string])[]): string {
  return textTable(facts.map(([key, value]) => [`${key}:`, value]));
}

/** A titled block, indented; nothing when it is empty. */
export function section(title: string, text: string): string {
  if (text === '') return '';
  const lines = text.trimEnd().split('\n');
  return `\n${title}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

export function conditionsText(conditions: readonly Condition[], nowMs: number): string {
  if (conditions.length === 0) return '';
  return textTable([
    ['TYPE', 'STATUS', 'REASON', 'SINCE', 'MESSAGE'],
    ...conditions.map((condition) => [
      condition.type,
      condition.status,
      condition.reason,
      ageText(condition.lastTransitionTime, nowMs),
      orDash(condition.message),
    ]),
  ]);
}

/** Oldest first, as a story is read; lists come latest first. */
export function eventsText(events: readonly FleetEvent[], nowMs: number): string {
  if (events.length === 0) return '(none)';
  return textTable([
    ['AGE', 'TYPE', 'REASON', 'MESSAGE'],
    ...events
      .toReversed()
      .map(({ at, type, reason, message }) => [ageText(at, nowMs), type, reason, message]),
  ]);
}

/** Selector in the form that `-l` takes. */
export function selectorText(selector: Schemas['Rollout']['spec']['selector']): string {
  const equal = Object.entries(selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  const others = selector.matchExpressions.map(({ key, operator, values }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
  });
  return [...equal, ...others].join(',') || '(every device)';
}
