import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { type JournalRecord, NO_EVIDENCE, UpdateJournal } from './update.journal.ts';
import { INITIAL_SITUATION } from './update.states.ts';

const NOW_MS = 1_795_248_000_500;

function recordOf(boot: number): JournalRecord {
  const target = targetOf(referenceOf('a'));
  const situation = { ...INITIAL_SITUATION, desired: desiredOf(target), state: 'Testing' as const };
  return { version: 1, boot, clean: false, situation, evidence: NO_EVIDENCE };
}

it('starts anew with a boot counter above that of any former life', async () => {
  const { record, damaged } = await new UpdateJournal(await scratchFolder()).read(NOW_MS);
  expect(record).toMatchObject({ boot: 1_795_248_000, situation: INITIAL_SITUATION });
  expect(damaged).toEqual([]);
});

it('gives back what was written last', async () => {
  const folder = await scratchFolder();
  await new UpdateJournal(folder).write(recordOf(7));
  await new UpdateJournal(folder).write(recordOf(8));
  expect((await new UpdateJournal(folder).read(NOW_MS)).record).toEqual(recordOf(8));
});

it('falls back to the record before when the newest is torn or changed at any byte', async () => {
  const folder = await scratchFolder();
  const path = join(folder, 'journal.json');
  const journal = new UpdateJournal(folder);
  await journal.write(recordOf(1));
  await journal.write(recordOf(2));
  const whole = await readFile(path);
  const before = await readFile(join(folder, 'journal.before.json'));
  const damages = fc.oneof(
    fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
    fc.nat(whole.length - 1).map((at) => {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 0x15;
      return changed;
    }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  );
  await fc.assert(
    fc.asyncProperty(damages, async (bytes) => {
      await writeFile(path, bytes);
      await writeFile(join(folder, 'journal.before.json'), before);
      const { record, damaged } = await journal.read(NOW_MS);
      expect(record).toEqual(recordOf(1));
      expect(damaged).toEqual([`${path}.damaged`]);
    }),
    { numRuns: 100 },
  );
});

it('survives a power loss between its two renames, and one before them', async () => {
  const folder = await scratchFolder();
  const path = join(folder, 'journal.json');
  const journal = new UpdateJournal(folder);
  await journal.write(recordOf(1));
  await rename(path, join(folder, 'journal.before.json'));
  await writeFile(`${path}.new`, 'half a rec');
  const read = await journal.read(NOW_MS);
  expect(read).toEqual({ record: recordOf(1), damaged: [] });
  await journal.write(recordOf(2));
  expect((await journal.read(NOW_MS)).record).toEqual(recordOf(2));
});

it('starts anew when nothing intact is left, and keeps the damaged files', async () => {
  const folder = await scratchFolder();
  await writeFile(join(folder, 'journal.json'), '{}');
  await writeFile(join(folder, 'journal.before.json'), '');
  const { record, damaged } = await new UpdateJournal(folder).read(NOW_MS);
  expect(record.situation).toEqual(INITIAL_SITUATION);
  expect(damaged).toHaveLength(2);
});

it('fails, and keeps the record it has, when it cannot be written', async () => {
  const folder = await scratchFolder();
  const journal = new UpdateJournal(folder);
  await journal.write(recordOf(1));
  await rm(folder, { recursive: true });
  await expect(journal.write(recordOf(2))).rejects.toMatchObject({ code: 'ENOENT' });
});
