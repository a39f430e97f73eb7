import { expect, it } from 'vitest';
import { exampleDevice } from '../../../../test/support/fleet.examples.ts';
import { unknownMember } from './member.plan.ts';
import { inOrder } from './wave.order.plan.ts';

function at(name: string, ring?: string) {
  const device = exampleDevice(name);
  const labels = ring === undefined ? {} : { ring };
  return { ...device, metadata: { ...device.metadata, labels } };
}

const order = { label: 'ring', values: ['canary', 'early'] };
const devices = [at('d'), at('c', 'early'), at('b', 'late'), at('a', 'early'), at('z', 'canary')];

it('goes by the values of the label, then by name', () => {
  const names = inOrder(devices, [], order).map(({ device }) => device.metadata.name);
  expect(names).toEqual(['z', 'a', 'c', 'b', 'd']);
});

it('leaves known members in their place, and lets late ones go last', () => {
  const known = ['d', 'a', 'b'].map((name) => unknownMember({ device: exampleDevice(name) }));
  const placed = inOrder(devices, known, order);
  expect(placed.map(({ device }) => device.metadata.name)).toEqual(['d', 'a', 'b', 'z', 'c']);
  expect(placed.map(({ previous }) => previous?.device)).toEqual([
    'd',
    'a',
    'b',
    undefined,
    undefined,
  ]);
});
