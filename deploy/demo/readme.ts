// Puts what a demo has printed (standard input) between the markers of README.md: `make readme`.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const README = join(import.meta.dirname, '../../README.md');
const MARKED = /<!-- demo -->\n[\s\S]*?<!-- \/demo -->/;
const FIRST_LINE = /^compressing (\S+) from .*$/m;

const printed = await text(process.stdin);
process.stdout.write(printed);
const begin = printed.search(FIRST_LINE);
const readme = await readFile(README, 'utf8');
if (begin === -1 || !printed.includes('Everything above was measured') || !MARKED.test(readme)) {
  console.error('README.md is unchanged: the demo did not finish, or the markers are missing');
  process.exit(1);
}
const shown = printed.slice(begin).replace(FIRST_LINE, 'compressing $1').trimEnd();
const block = `<!-- demo -->\n\`\`\`text\n${shown}\n\`\`\`\n<!-- /demo -->`;
await writeFile(
  `${README}.partial`,
  readme.replace(MARKED, () => block),
);
await rename(`${README}.partial`, README);
