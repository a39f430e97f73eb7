import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { cliDocument } from './cli.document.ts';
import { createProgram } from './program.ts';

export const CLI_DOCUMENT_FILE = fileURLToPath(new URL('../../../docs/CLI.md', import.meta.url));

/** The document of the commands as they are now; defaults do not depend on this machine. */
export function cliDocumentText(): string {
  const nothing = (): void => undefined;
  const context = { signal: AbortSignal.any([]), print: nothing, complain: nothing };
  return cliDocument(createProgram({ ...context, exitWith: nothing }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(CLI_DOCUMENT_FILE, cliDocumentText());
}
