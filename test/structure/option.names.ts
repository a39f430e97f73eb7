import { resolve } from 'node:path';
import { helpText as agentHelp } from '../../apps/agent/src/config.ts';
import { helpText as controllerHelp } from '../../apps/controller/src/config.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** Names of the environment variables that an app documents, and so reads. */
export const OPTION_NAMES = {
  controller: optionNames(controllerHelp()),
  agent: optionNames(agentHelp('0')),
} as const;

function optionNames(help: string): ReadonlySet<string> {
  return new Set([...help.matchAll(/^ {2}([A-Z][A-Z0-9_]+)\b/gm)].map((match) => String(match[1])));
}
