import { resolve } from 'node:path';
import { ImportError } from './import.error.ts';
import { importStories15m } from './stories15m.ts';

// Usage: node deploy/models/import.ts [cache folder]; prints the model's folder.
const cacheFolder = resolve(process.argv[2] ?? resolve(import.meta.dirname, '../../.cache'));
try {
  const onProgress = (message: string) => console.error(message);
  console.log(await importStories15m({ cacheFolder, onProgress }));
} catch (error) {
  if (!(error instanceof ImportError)) throw error;
  console.error(`${error.reason}: ${error.message}`);
  process.exitCode = 1;
}
