import type { RequestRefused, ServerUnreachable } from '@entrofleet/client';
import { CliError } from '../cli.error.ts';
import type { Manifest } from './manifest.ts';

/** A refusal of an object that came from a file. */
export function refusedManifest(manifest: Manifest, error: RequestRefused): CliError {
  const what = `${manifest.origin}: ${manifest.kind.toLowerCase()}/${manifest.name}`;
  return new CliError('Refused', `${what}: ${refusalText(error)}`, { cause: error });
}

/** What the controller says, each offending field in a line of its own. */
export function refusalText({ problem, message }: RequestRefused): string {
  const [detail = '', ...fields] = message.split('\n');
  return [`${detail} (${problem.reason})`, ...fields.map((line) => `  ${line}`)].join('\n');
}

export function unreachableText({ message }: ServerUnreachable): string {
  return (
    `${message}; start it with "entrofleet-controller", or name another one with --server or ` +
    'ENTROFLEET_SERVER'
  );
}
