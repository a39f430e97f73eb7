import type { Artifact } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { digest, exampleArtifact } from '../../../../test/support/fleet.examples.ts';
import { wantedDeltas } from './delta.plan.ts';

const at = (minute: number) => `2026-11-21T08:${String(minute).padStart(2, '0')}:00.000Z`;
const artifact = (name: string, minute: number, change: Partial<Artifact> = {}) =>
  exampleArtifact({ id: digest(name), createdAt: at(minute), ...change });

const target = artifact('target', 30);

it('wants the way from each older artifact on devices to a newer one', () => {
  const bases = [artifact('old', 1), artifact('young', 2), artifact('newer', 40), target];
  expect(wantedDeltas({ targets: [target], bases })).toEqual([
    { base: digest('young'), target: target.id },
    { base: digest('old'), target: target.id },
  ]);
});

it('wants none between artifacts that cannot have the same shapes or grids', () => {
  const { quality } = target;
  const bases = [
    artifact('recipe', 1, { recipe: 'rd-4.2' }),
    artifact('weights', 1, { quality: { ...quality, weights: quality.weights + 1 } }),
    artifact('coded', 1, { quality: { ...quality, codedWeights: quality.codedWeights - 1 } }),
    artifact('cache', 1, { kvCacheBytesPerToken: 1 }),
  ];
  expect(wantedDeltas({ targets: [target], bases })).toEqual([]);
});

it('wants no more for a target than it can name', () => {
  const bases = Array.from({ length: 12 }, (_, i) => artifact(`base ${i}`, i));
  const wanted = wantedDeltas({ targets: [target], bases });
  expect(wanted.map(({ base }) => base)).toEqual(
    [11, 10, 9, 8, 7, 6, 5, 4].map((i) => digest(`base ${i}`)),
  );
});
