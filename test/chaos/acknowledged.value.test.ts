import { expect, it } from 'vitest';
import { AcknowledgedValue } from './acknowledged.value.ts';

it('is the last acknowledged write, or an unanswered one that may have come after it', () => {
  let nowMs = 0;
  const value = new AcknowledgedValue<string>(() => nowMs);
  value.attempt('a')();
  nowMs = 100_000;
  value.attempt('b');
  nowMs = 110_000;
  value.attempt('c')();
  value.attempt('d');
  expect(value.acknowledged).toBe('c');
  expect(['a', 'b', 'c', 'd', 'e'].filter((v) => value.mayBe(v))).toEqual(['b', 'c', 'd']);
  nowMs = 200_000;
  value.attempt('e')();
  expect(['a', 'b', 'c', 'd', 'e'].filter((v) => value.mayBe(v))).toEqual(['e']);
});

it('may be nothing that was never tried', () => {
  const value = new AcknowledgedValue<string>();
  expect(value.mayBe('a')).toBe(false);
  value.attempt('a');
  expect(value.mayBe('a')).toBe(true);
  expect(value.acknowledged).toBeUndefined();
});
