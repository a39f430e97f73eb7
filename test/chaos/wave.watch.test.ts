import type { Member, Rollout } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { exampleRollout } from '../support/fleet.examples.ts';
import { type Standing, WaveWatch } from './wave.watch.ts';

type Place = readonly [device: string, wave: number | null, state: Member['state']];

function snapshot(
  revision: number,
  currentWave: number,
  places: readonly Place[],
): [Rollout, Standing[]] {
  const rollout = exampleRollout({ strategy: { waves: [{ count: 1 }, { count: 2 }] } });
  const members = places.map(([device, wave, state]) => ({ device, wave, state }));
  return [{ ...rollout, status: { ...rollout.status, revision, currentWave } }, members];
}

it('is content with waves one after the other', () => {
  const watch = new WaveWatch();
  const first: Place[] = [
    ['a', 0, 'Updating'],
    ['b', null, 'Pending'],
  ];
  expect(watch.see(...snapshot(1, 0, first))).toEqual([]);
  const second: Place[] = [
    ['a', 0, 'Active'],
    ['b', 1, 'Updating'],
  ];
  expect(watch.see(...snapshot(1, 1, second))).toEqual([]);
  expect(watch.see(...snapshot(2, 0, first))).toEqual([]);
});

it('finds a wave that began too soon, unless something happened to the device', () => {
  const early: Place[] = [
    ['a', 0, 'Updating'],
    ['b', 1, 'Updating'],
  ];
  const strict = new WaveWatch();
  strict.see(...snapshot(1, 0, []));
  expect(strict.see(...snapshot(1, 1, early)).join()).toContain('while a of wave 0 was updating');
  for (const device of ['a', undefined]) {
    const lenient = new WaveWatch();
    lenient.see(...snapshot(1, 0, []));
    lenient.excuse(device);
    expect(lenient.see(...snapshot(1, 1, early))).toEqual([]);
  }
});

it('finds a wave with too many devices, and one that goes back', () => {
  const watch = new WaveWatch();
  const crowd: Place[] = [
    ['a', 0, 'Active'],
    ['b', 0, 'Updating'],
  ];
  expect(watch.see(...snapshot(3, 0, crowd)).join()).toContain('wave 0 has 2 of 1 devices');
  watch.see(...snapshot(3, 1, []));
  expect(watch.see(...snapshot(3, 0, [])).join()).toContain('wave 1 became 0');
  expect(watch.see(...snapshot(2, 0, [])).join()).toContain('revision 3 became 2');
});
