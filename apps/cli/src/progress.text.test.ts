import { expect, test } from 'vitest';
import { progressText } from './progress.text.ts';

test('half way', () => {
  const state = { label: 'encode', doneBytes: 5e8, totalBytes: 1e9, elapsedSeconds: 10 };
  expect(progressText(state)).toBe(
    'encode   [############............]  50 %  50.0 MB/s  10 s left',
  );
});

test('before the first byte there is no rate', () => {
  const state = { label: 'measure', doneBytes: 0, totalBytes: 10, elapsedSeconds: 1 };
  expect(progressText(state)).toBe('measure  [........................]   0 %');
});
