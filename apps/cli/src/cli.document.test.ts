import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CLI_DOCUMENT_FILE, cliDocumentText } from './cli.document.file.ts';

describe('docs/CLI.md', () => {
  it('says what --help says; "npm run document -w apps/cli" writes it', async () => {
    const isCurrent = (await readFile(CLI_DOCUMENT_FILE, 'utf8')) === cliDocumentText();
    expect(isCurrent, `${CLI_DOCUMENT_FILE} is stale`).toBe(true);
  });

  it('has every command, also those of groups', () => {
    const text = cliDocumentText();
    for (const command of ['get', 'apply', 'rollout undo', 'device label', 'run']) {
      expect(text).toContain(`### entrofleet ${command}\n`);
    }
  });
});
