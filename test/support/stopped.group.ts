import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

const PARTIAL = /^part-(?<group>\d+)\..*-(?<pid>\d+)-\d+\.partial$/;

export interface StoppedGroup {
  readonly group: number;
  /** Of the compressor. */
  readonly pid: number;
  /** Files of the groups that are done. */
  readonly done: readonly string[];
}

/**
 * Waits until some groups are done and a compressor is in the middle of another, and stops it there
 * (SIGSTOP), so that it cannot come to its end before the caller has killed or continued it.
 * @param folder of the variant, below the work folder.
 */
export function stoppedInGroup(folder: string, doneMin = 1): Promise<StoppedGroup> {
  const stop = async () => {
    const { parts, names } = await partFiles(folder);
    const partial = names.find((n) => PARTIAL.test(n));
    const { group, pid } = PARTIAL.exec(partial ?? '')?.groups ?? {};
    const done = names.filter((n) => /^part-\d+$/.test(n)).map((n) => join(parts, n));
    if (partial === undefined || done.length < doneMin) return undefined;
    if (!sendSignal(Number(pid), 'SIGSTOP')) return undefined;
    const isStillThere = (await partFiles(folder)).names.includes(partial);
    if (isStillThere) return { group: Number(group), pid: Number(pid), done };
    sendSignal(Number(pid), 'SIGCONT');
    return undefined;
  };
  return eventually('a process in the middle of a group', stop, { pollMs: 1 });
}

async function partFiles(folder: string): Promise<{ parts: string; names: string[] }> {
  const names = await readdir(folder).catch(() => []);
  const parts = join(folder, names.find((n) => n !== 'attempts') ?? '');
  return { parts, names: await readdir(parts).catch(() => []) };
}

/** @returns false when the process is gone. */
export function sendSignal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
