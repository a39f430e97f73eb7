import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PLANTED_BUGS, type PlantedBug } from './planted.bugs.ts';

const ROOT = join(import.meta.dirname, '../../..');
/** A bug that so many seeds do not show is not found. */
const SEEDS = 300;

/** The one library that a bug is planted in. */
const COPIED_LIBRARY = 'libs/distribution';

/**
 * Plants one bug at a time in a copy of the sources and looks whether the simulation finds it; only
 * those whose name has the words of the command line.
 */
const words = process.argv.slice(2).join(' ');
const bugs = PLANTED_BUGS.filter(({ name }) => name.includes(words));
let missed = 0;
for (const bug of bugs) {
  const found = findBug(bug);
  console.log(`${found === undefined ? 'MISSED' : 'found '}  ${bug.name}: ${found ?? ''}`);
  if (found === undefined) missed++;
}
console.log(`${bugs.length - missed} of ${bugs.length} planted bugs were found`);
process.exitCode = missed === 0 ? 0 : 1;

/** @returns what the simulation says, or `undefined` when it says nothing. */
function findBug(bug: PlantedBug): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'entrofleet-bug-'));
  try {
    copySources(folder);
    plant(bug, folder);
    const script = 'test/simulation/fleet/sim.main.ts';
    const options = ['--seeds', `${SEEDS}`, '--stop-at-first'];
    const run = spawnSync(process.execPath, [...process.execArgv, script, ...options], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (run.status === 0) return undefined;
    return run.stderr.split('\n').find((line) => line.startsWith('seed ')) ?? run.stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function copySources(folder: string): void {
  const copied = ['apps/agent/src', 'apps/controller/src', 'test/simulation', 'test/support'];
  for (const part of [...copied, COPIED_LIBRARY]) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  const libraries = readdirSync(join(ROOT, 'libs')).map((name) => `libs/${name}`);
  const linked = libraries.filter((part) => part !== COPIED_LIBRARY);
  for (const part of [...linked, 'node_modules', 'package.json', 'apps/controller/node_modules']) {
    symlinkSync(join(ROOT, part), join(folder, part));
  }
}

function plant(bug: PlantedBug, folder: string): void {
  const path = join(folder, bug.file);
  const text = readFileSync(path, 'utf8');
  if (text.split(bug.find).length !== 2) {
    throw new Error(`${bug.file} does not have this exactly once: ${bug.find}`);
  }
  writeFileSync(
    path,
    text.replace(bug.find, () => bug.replace),
  );
}
