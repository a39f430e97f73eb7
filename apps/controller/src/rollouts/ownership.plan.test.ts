import { type Selector, selectorMatches } from '@entrofleet/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { exampleDevice } from '../../../../test/support/fleet.examples.ts';
import { ownersBefore, type RolloutClaim } from './ownership.plan.ts';

const value = fc.constantFrom('x', 'y');
const labels = fc.dictionary(fc.constantFrom('site', 'ring'), value, { maxKeys: 2 });
const selector: fc.Arbitrary<Selector> = fc.record({
  matchLabels: labels,
  matchExpressions: fc.constantFrom<Selector['matchExpressions']>(
    [],
    [{ key: 'ring', operator: 'NotIn', values: ['x'] }],
  ),
});
const claim: fc.Arbitrary<RolloutClaim> = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  creationTimestamp: fc.constantFrom('2026-11-20T08:00:00.000Z', '2026-11-21T08:00:00.000Z'),
  selector,
  isTurnedDown: fc.boolean(),
});
const claims = fc.uniqueArray(claim, { selector: ({ name }) => name, maxLength: 6 });

it('gives the device to the oldest that claims it, whichever way it is looked for', () => {
  fc.assert(
    fc.property(claims, labels, (others, own) => {
      const self = { name: 'm', creationTimestamp: '2026-11-21T08:00:00.000Z' };
      const device = exampleDevice('d');
      const labelled = { ...device, metadata: { ...device.metadata, labels: own } };
      const [oldest] = others
        .filter((other) => !other.isTurnedDown && selectorMatches(other.selector, own))
        .filter((other) => keyOf(other) < keyOf(self))
        .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      expect(ownersBefore(self, others)(labelled)).toBe(oldest?.name);
    }),
  );
});

function keyOf({ creationTimestamp, name }: { creationTimestamp: string; name: string }): string {
  return `${creationTimestamp} ${name}`;
}
