import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FairTurns } from './fair.turns.ts';

const KIB = 1024;

it('gives equal shares of bytes to all that always have something to send', () => {
  const sizes = fc.array(fc.integer({ min: 4 * KIB, max: 4096 * KIB }), {
    minLength: 2,
    maxLength: 8,
  });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 50, max: 400 }), (chunkBytes, rounds) => {
      const turns = new FairTurns<number>();
      const sent = chunkBytes.map(() => 0);
      for (const key of chunkBytes.keys()) turns.add(key);
      for (let i = 0; i < rounds; i++) {
        const key = turns.inTurn().next().value as number;
        const bytes = chunkBytes[key] as number;
        sent[key] = (sent[key] as number) + bytes;
        turns.spend(key, bytes);
      }
      const largest = Math.max(...chunkBytes);
      expect(Math.max(...sent) - Math.min(...sent)).toBeLessThanOrEqual(512 * KIB + largest);
    }),
  );
});

it('passes over who has nothing to send, and forgets who has left', () => {
  const turns = new FairTurns<string>();
  for (const key of ['idle', 'busy', 'gone']) turns.add(key);
  turns.delete('gone');
  expect([...turns.inTurn()]).toEqual(['idle', 'busy']);
  turns.spend('busy', 256 * KIB);
  turns.spend('idle', 256 * KIB);
  expect([...turns.inTurn()]).toEqual(['busy', 'idle']);
});
