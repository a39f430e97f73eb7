import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encodePart, openCheckpoint, planEncoding, planText } from '@entrofleet/artifact';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../../../../test/fixtures/tiny.checkpoint.ts';
import { WorkFolder } from './work.folder.ts';

const KEY = { model: 'm', variant: 'u8' };

let folder: string;
let root: string;
let source: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-work-'));
  root = join(folder, 'work');
  source = await writeTinyCheckpoint(join(folder, 'source'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const work = (recipe = 'u8') => ({
  sourcePath: source,
  recipe,
  layout: 'auto' as const,
  calibration: undefined,
  evaluation: { rows: 1, rowTokens: 8 },
});
const open = (recipe?: string) => WorkFolder.of(root, KEY, work(recipe));

async function planned(of: WorkFolder) {
  const checkpoint = await openCheckpoint(source);
  const plan = await planEncoding({
    checkpoint,
    recipe: { kind: 'affine', bits: 8 },
    chunkSizeBytes: 4096,
    groupSizeBytes: 100_000,
    threads: 1,
  });
  await mkdir(dirname(of.planPath), { recursive: true });
  await writeFile(of.planPath, planText(plan));
  return { checkpoint, plan };
}

describe('a work folder', () => {
  it('knows its plan, and what is missing of it', async () => {
    const held = await open();
    expect(await held.readPlan()).toBeUndefined();
    const { checkpoint, plan } = await planned(held);
    expect(await held.readPlan()).toEqual(plan);
    const all = [...plan.groups.keys()];
    expect(await held.missingGroups(plan)).toEqual(all);
    expect(await held.encodedShare(plan)).toBe(0);
    await encodePart(1, { checkpoint, plan, threads: 1, path: held.partPath(1) });
    await writeFile(held.partPath(2), 'torn');
    expect(await (await open()).missingGroups(plan)).toEqual(all.filter((index) => index !== 1));
    for (const group of all) {
      await encodePart(group, { checkpoint, plan, threads: 1, path: held.partPath(group) });
    }
    expect(await held.missingGroups(plan)).toEqual([]);
    expect(await held.encodedShare(plan)).toBe(1);
    await checkpoint.close();
    await held.remove();
    expect(await readdir(join(root, 'm'))).toEqual([]);
  });

  it('is another one for another recipe or state of the source, but not for a new README', async () => {
    const { planPath } = await open();
    expect((await open('rd-4')).planPath).not.toBe(planPath);
    await writeFile(join(source, 'README.md'), 'new');
    expect((await open()).planPath).toBe(planPath);
    await utimes(join(source, 'model.safetensors'), new Date(0), new Date(0));
    expect((await open()).planPath).not.toBe(planPath);
    await rm(source, { recursive: true });
    expect((await open()).planPath).not.toBe(planPath);
  });

  it('removes what belongs to other states and keeps its own, with the notes of starts', async () => {
    const old = await open('rd-4');
    const held = await open();
    for (const one of [old, held]) await (await planned(one)).checkpoint.close();
    await held.noteStart('plan');
    await held.removeOutdated();
    expect(await old.readPlan()).toBeUndefined();
    expect(await held.readPlan()).toBeDefined();
    expect((await held.noteStart('plan')).starts).toBe(2);
  });

  it('counts the starts of each step that has not ended', async () => {
    const held = await open();
    const starts = async (step: string) => (await held.noteStart(step)).starts;
    expect(await starts('encode-1')).toBe(1);
    expect(await starts('encode-1')).toBe(2);
    expect(await starts('encode-11')).toBe(1);
    const third = await (await open('rd-4')).noteStart('encode-1');
    expect(third.starts).toBe(3);
    await third.takeBack();
    expect(await starts('encode-1')).toBe(3);
    await held.forgetStarts('encode-1');
    expect(await starts('encode-1')).toBe(1);
    expect(await starts('encode-11')).toBe(2);
    await held.forgetStarts();
    expect(await starts('encode-11')).toBe(1);
  });
});
