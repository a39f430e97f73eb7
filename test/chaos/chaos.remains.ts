import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import type { ChaosWorld } from './chaos.world.ts';

/** Files of a write that a kill cut short; each start of the process that owns them clears some. */
const TEMPORARY = /\.(?:new|draft|tmp)$|\.draft|draft-|\.[0-9a-f]{8}-[0-9a-f]{4}-/;
export const TEMPORARY_MAX = 4;

/** What a sound process never writes to its log. */
const SCARS = [
  /unhandled/i,
  /^\s+at .+:\d+:\d+\)?$/,
  /\b(?:TypeError|ReferenceError|RangeError|AssertionError)\b/,
  /"stack":"/,
  /heap out of memory|Segmentation fault|core dumped/,
  /the journal was damaged/,
  /an event could not be dealt with/,
  /MaxListenersExceededWarning/,
];

/** Lines of our own processes' logs that tell of a defect, at most so many of each process. */
export async function findScars(world: ChaosWorld): Promise<string[]> {
  const found: string[] = [];
  const ours = ['controller', ...world.agents.map((agent) => agent.name)];
  for (const name of ours) {
    const path = world.processes.get(name)?.supervised.logPath ?? '';
    const scars: string[] = [];
    for await (const line of createInterface({ input: createReadStream(path) })) {
      if (SCARS.some((scar) => scar.test(line)))
        scars.push(`log of ${name}: ${line.slice(0, 400)}`);
    }
    found.push(...scars.slice(0, 5));
  }
  return found;
}

/** Damaged journals, and more temporary files than a kill or two may leave. */
export async function findLitter(world: ChaosWorld): Promise<string[]> {
  const folders = new Map(world.agents.map((agent) => [agent.name, agent.folder]));
  folders.set('controller', world.controllerFolder);
  const found: string[] = [];
  for (const [name, folder] of folders) {
    const names = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
    const damaged = names.filter((file) => file.endsWith('.damaged'));
    found.push(...damaged.map((file) => `${name} has a damaged journal, ${file}`));
    const temporary = names.filter((file) => TEMPORARY.test(file));
    if (temporary.length > TEMPORARY_MAX) {
      found.push(`${name} has ${temporary.length} temporary files: ${temporary.slice(0, 8)}`);
    }
  }
  return found;
}

/** Command lines of the processes that live in one of these sessions. */
export async function findSurvivors(sessions: ReadonlySet<number>): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // The command name (field 2) may hold spaces; state, parent, group and session follow it.
    const [state, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || !sessions.has(Number(session))) continue;
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    found.push(`process ${name} is left over: ${command.split('\0').join(' ').slice(0, 200)}`);
  }
  return found;
}
