import { expect, test } from 'vitest';
import { deltaText } from './delta.text.ts';

test('sets the size against the whole target and against its new chunks', () => {
  const ref = {
    id: 'ab'.repeat(32),
    sizeBytes: 1500,
    headerSizeBytes: 88,
    headerChunks: [],
    chunkCount: 2,
    chunkSizeBytes: 4096,
  };
  const sizes = { sizeBytes: 700, lackedBytes: 1000 };
  const text = deltaText('a.efd', {
    ref,
    baseId: 'cd'.repeat(32),
    targetId: 'ef'.repeat(32),
    targetSizeBytes: 15_000,
    reuseSizeBytes: 6000,
    items: [
      { name: 'a', kind: 'coded', ...sizes },
      { name: 'b', kind: 'stored', ...sizes },
    ],
  });
  expect(text).toContain('1500 bytes (1.5 kB)');
  expect(text).toContain('of the target    10.00 % of 15.0 kB');
  expect(text).toContain('of new chunks    25.00 % of 6.0 kB');
  expect(text).toContain('2, of them coded against the base 1');
});
