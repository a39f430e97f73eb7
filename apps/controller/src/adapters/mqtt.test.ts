import { expect, it } from 'vitest';
import { filterMatches } from './mqtt.ts';

it.each([
  ['a/+/c', 'a/b/c', true],
  ['a/+/c', 'a/b/d', false],
  ['a/+', 'a/b/c', false],
  ['$share/group/a/+/c', 'a/b/c', true],
])('filter %s on %s', (filter, topic, matches) => {
  expect(filterMatches(filter, topic)).toBe(matches);
});
