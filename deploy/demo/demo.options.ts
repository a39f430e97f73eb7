import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const SHARED_TOKENS = resolve(ROOT, '../shared/models/stories15M/eval-tokens.json');

/** What the demo was asked for. */
export interface DemoOptions {
  /** Hugging Face folder of the user's own model; undefined: the default model. */
  readonly modelPath: string | undefined;
  /** Ends when everything has been shown, instead of serving on until Ctrl-C. */
  readonly once: boolean;
  /** Where the summary goes as JSON, if anywhere. */
  readonly summaryPath: string | undefined;
  readonly cacheFolder: string;
  /** Evaluation rows of the default model, where the checkout has them beside it. */
  readonly tokensPath: string | undefined;
}

/** The demo could not do what it is for; `reason` is stable, the message says what to look at. */
export class DemoError extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** @throws DemoError `NoModel` when MODEL names no Hugging Face folder. */
export function readOptions(environment: NodeJS.ProcessEnv = process.env): DemoOptions {
  const model = environment.MODEL;
  const modelPath = model === undefined || model === '' ? undefined : resolve(model);
  if (modelPath !== undefined && !existsSync(join(modelPath, 'config.json'))) {
    const hint = 'give the folder of a Hugging Face checkpoint, with config.json in it';
    throw new DemoError('NoModel', `MODEL=${model}: there is no ${modelPath}/config.json; ${hint}`);
  }
  const summary = environment.DEMO_JSON;
  return {
    modelPath,
    once: !['', '0', 'false', undefined].includes(environment.ONCE),
    summaryPath: summary === undefined || summary === '' ? undefined : resolve(summary),
    cacheFolder: join(ROOT, '.cache'),
    tokensPath: existsSync(SHARED_TOKENS) ? SHARED_TOKENS : undefined,
  };
}
