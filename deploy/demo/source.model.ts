import { basename } from 'node:path';
import { importStories15m } from '../models/stories15m.ts';
import type { DemoOptions } from './demo.options.ts';
import type { SourceModel } from './demo.steps.ts';
import type { ProgressLines } from './progress.lines.ts';

const EVALUATION_ROWS = 32;
const DEFAULT_NAME = 'stories15m';

/** The model to compress: the user's folder, or the default model, fetched when it is not there. */
export async function sourceModel(
  options: DemoOptions,
  progress: ProgressLines,
): Promise<SourceModel> {
  if (options.modelPath !== undefined) {
    const path = options.modelPath;
    return { name: modelName(path), path, evaluation: undefined };
  }
  const { tokensPath } = options;
  const path = await importStories15m({
    cacheFolder: options.cacheFolder,
    onProgress: (message) => progress.say(message),
  });
  const evaluation = tokensPath === undefined ? undefined : { tokensPath, rows: EVALUATION_ROWS };
  return { name: DEFAULT_NAME, path, evaluation };
}

/** A DNS label from a folder's name. */
export function modelName(path: string): string {
  const label = basename(path)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return label === '' ? 'model' : label;
}
