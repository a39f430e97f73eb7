import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { PowerCutDisk } from '../../../test/fixtures/power.cut.disk.ts';
import {
  readSyntheticTable,
  syntheticArtifact,
  syntheticContents,
} from '../../../test/fixtures/synthetic.artifact.ts';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { ChunkStore } from './chunk.store.ts';
import { readProgress } from './progress.file.ts';
import { type JournalRecord, NO_EVIDENCE, UpdateJournal } from './update.journal.ts';
import { INITIAL_SITUATION } from './update.states.ts';

const machine = vi.hoisted(() => ({ disk: undefined as unknown as PowerCutDisk }));

vi.mock('node:fs/promises', () => {
  const names = [
    ...(['open', 'readFile', 'rename', 'rm', 'mkdir', 'readdir', 'stat', 'statfs'] as const),
    'utimes' as const,
  ];
  const call = (name: (typeof names)[number]) => {
    return (...use: unknown[]) => (machine.disk[name] as (...use: unknown[]) => unknown)(...use);
  };
  return Object.fromEntries(names.map((name) => [name, call(name)]));
});

const CALLS_MAX = 150;

/** A sequence of numbers from 0 to before 1, by mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const cuts = fc.array(
  fc.record({ calls: fc.nat(CALLS_MAX), seed: fc.integer(), collects: fc.boolean() }),
  { minLength: 1, maxLength: 5 },
);

/** Claims outlive the file that they are about, and a new file gets the size of the old one. */
const STALE_CLAIMS = [
  { calls: 40, seed: 0, collects: false },
  { calls: 8, seed: -1_595_307_875, collects: true },
  { calls: 16, seed: -690_303_678, collects: false },
  { calls: 0, seed: 0, collects: false },
];

describe('power cut between a write and its sync', () => {
  it('the journal gives back the last record that was written, or the one after it', async () => {
    const target = targetOf(referenceOf('a'));
    const recordOf = (boot: number): JournalRecord => {
      const situation = { ...INITIAL_SITUATION, desired: desiredOf(target, { revision: boot }) };
      return { version: 1, boot, clean: false, situation, evidence: NO_EVIDENCE };
    };
    await fc.assert(
      fc.asyncProperty(cuts, async (all) => {
        machine.disk = new PowerCutDisk();
        let written = 0;
        for (const { calls, seed } of all) {
          machine.disk.cutAfter(calls);
          const journal = new UpdateJournal('/data');
          let tried = written;
          try {
            for (;;) {
              await journal.write(recordOf(++tried));
              written = tried;
            }
          } catch {
            machine.disk.restore(randomFrom(seed));
          }
          const { record } = await new UpdateJournal('/data').read(0);
          if (written > 0) expect([written, written + 1]).toContain(record.boot);
          written = written > 0 || record.clean === false ? record.boot : 0;
        }
      }),
      { numRuns: 500 },
    );
  });

  const artifact = syntheticArtifact({ contents: syntheticContents(80), headerPaddingBytes: 5000 });
  const { ref } = artifact;
  const options = { folder: '/data', marginBytes: 0, reader: readSyntheticTable };
  const progressPath = `/data/downloads/${ref.id}.progress`;

  async function fetchInto(store: ChunkStore, onClaim: (held: number) => void): Promise<void> {
    const partial = await store.openPartial(ref);
    for (const { index } of artifact.chunks) {
      await partial.accept(index, artifact.chunk(index));
      if (index % 16 !== 15) continue;
      await partial.flush();
      onClaim(partial.chunksHeld);
    }
    await partial.finish();
  }

  it('a download claims nothing false, loses nothing claimed, and can be finished', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async (all) => {
        machine.disk = new PowerCutDisk();
        let claimed = 0;
        for (const { calls, seed, collects } of all) {
          machine.disk.cutAfter(calls);
          if (collects) claimed = 0;
          try {
            const store = await ChunkStore.open(options);
            if (collects) await store.collect([]);
            if (!(await store.has(ref))) {
              await fetchInto(store, (held) => {
                claimed = Math.max(claimed, held);
              });
            }
          } catch {
            // The power is gone; all that counts is what the disk holds.
          }
          machine.disk.restore(randomFrom(seed));
          const data = machine.disk.content(`/data/downloads/${ref.id}.partial`);
          const progress = await readProgress(progressPath, ref.chunkCount);
          // Claims about a file of another size are about one that is gone.
          const isClaimed = data?.length === ref.sizeBytes;
          for (const index of isClaimed ? progress.held.indices() : []) {
            const { offset, sizeBytes } = artifact.chunks[index] ?? { offset: 0, sizeBytes: 0 };
            expect(data?.subarray(offset, offset + sizeBytes)).toEqual(artifact.chunk(index));
          }
          if (data !== undefined && isClaimed)
            expect(progress.held.count).toBeGreaterThanOrEqual(claimed);
        }
        const store = await ChunkStore.open(options);
        if (!(await store.has(ref))) await fetchInto(store, () => undefined);
        const { signal } = new AbortController();
        expect(await store.findDamaged(ref, signal)).toEqual([]);
        expect(machine.disk.content(store.path(ref.id))).toEqual(artifact.bytes);
      }),
      { numRuns: 100, examples: [[STALE_CLAIMS]] },
    );
  });
});
