import { readFileSync } from 'node:fs';
import { z } from 'zod';

const manifestSchema = z.object({ version: z.string() });

/** The package's version; package.json lies one folder above the sources and above the build. */
export function controllerVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return manifestSchema.parse(JSON.parse(text)).version;
}
