import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type Manifest, readManifests } from './manifest.ts';

/** The objects of a file, or of standard input for `-`. */
export async function manifestsOf(path: string): Promise<Manifest[]> {
  if (path === '-') return readManifests(await text(process.stdin), 'standard input');
  return readManifests(await readFile(path, 'utf8'), path);
}
