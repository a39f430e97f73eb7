import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import { exampleReport } from '../../../test/support/fleet.examples.ts';
import { ReportRing } from './report.ring.ts';

const reportOf = (boot: number, sequence: number): Report =>
  exampleReport('edge-1', { boot, sequence });

async function drained(ring: ReportRing): Promise<[number, number][]> {
  const order: [number, number][] = [];
  for (let r = await ring.oldest(); r !== undefined; r = await ring.oldest()) {
    order.push([r.boot, r.sequence]);
    await ring.drop();
  }
  return order;
}

it('gives back what former processes have kept, oldest first, then its own', async () => {
  const folder = await scratchFolder();
  const first = await ReportRing.open(folder);
  for (const sequence of [9, 10, 11]) await first.add(reportOf(1, sequence));
  const second = await ReportRing.open(folder);
  for (const sequence of [1, 2]) await second.add(reportOf(2, sequence));
  expect(await drained(second)).toEqual([
    [1, 9],
    [1, 10],
    [1, 11],
    [2, 1],
    [2, 2],
  ]);
  expect(await readdir(folder)).toEqual([]);
});

it('is bounded in number and in bytes; the oldest go first', async () => {
  const sizeBytes = Buffer.byteLength(JSON.stringify(reportOf(1, 1)));
  for (const limits of [
    { count: 3, bytes: 1e9 },
    { count: 100, bytes: 3.5 * sizeBytes },
  ]) {
    const folder = await scratchFolder();
    const ring = await ReportRing.open(folder, limits);
    for (let sequence = 1; sequence <= 8; sequence++) await ring.add(reportOf(1, sequence));
    expect(await readdir(folder)).toHaveLength(3);
    expect(await drained(ring)).toEqual([
      [1, 6],
      [1, 7],
      [1, 8],
    ]);
  }
});

it('passes over what a power loss has damaged', async () => {
  const folder = await scratchFolder();
  const ring = await ReportRing.open(folder);
  for (const sequence of [1, 2, 3]) await ring.add(reportOf(1, sequence));
  const [, torn] = (await readdir(folder)).sort();
  await writeFile(join(folder, torn ?? ''), '{"schemaVersion":1');
  expect(await drained(await ReportRing.open(folder))).toEqual([
    [1, 1],
    [1, 3],
  ]);
});
