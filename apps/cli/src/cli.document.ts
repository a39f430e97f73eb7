import type { Command } from 'commander';

const WIDTH = 96;

const HEAD = `# The command line

\`entrofleet\` steers a fleet through the controller's REST API, and compresses, inspects and runs models
offline. This page is what \`--help\` prints; \`npm run document -w apps/cli\` writes it.

## Which controller

\`--server URL\`, else the environment variable \`ENTROFLEET_SERVER\`, else \`http://127.0.0.1:8080\`.

## Exit status

| status | meaning |
| --- | --- |
| 0 | done; \`rollout status\`: the rollout is complete |
| 1 | the input is bad, a check failed, the controller refused or does not answer; \`rollout status\`: the rollout is paused, refused, aborted or rolled back |
| 2 | wrong usage |
| 3 | \`rollout status\`: not there yet, or not within \`--timeout\` |
| 130 | interrupted |

Messages go to stderr after \`entrofleet: \`, results to stdout.

## Files

\`apply\`, \`delete -f\` and \`rollout plan -f\` read YAML or JSON, one or several documents, in the shape that
Kubernetes uses; what \`get -o yaml\` prints can be read again.

    apiVersion: entrofleet.io/v1alpha1
    kind: Rollout
    metadata:
      name: nightly
    spec:
      selector: { matchLabels: { site: berlin } }
      model: stories
      strategy: { waves: [{ count: 1 }, { percent: 25 }, { percent: 100 }] }

With \`metadata.resourceVersion\` an update is refused (409) when the object has changed since.

## Commands
`;

/** docs/CLI.md: the help of every command. */
export function cliDocument(program: Command): string {
  const sections = commandsOf(program).map(([path, command]) => {
    const help = withoutAnsi(helpOf(command));
    return `\n### ${path}\n\n${help
      .split('\n')
      .map((line) => (line === '' ? '' : `    ${line}`))
      .join('\n')
      .trimEnd()}\n`;
  });
  return `${HEAD}${sections.join('')}`;
}

/** Every command that does something, with its full name. */
export function commandsOf(command: Command, parent = ''): [string, Command][] {
  const path = `${parent} ${command.name()}`.trim();
  if (command.commands.length === 0) return [[path, command]];
  return command.commands.flatMap((child) => commandsOf(child, path));
}

/** With what addHelpText adds, as a terminal of a fixed width shows it. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => WIDTH,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}

function withoutAnsi(text: string): string {
  return text.replaceAll(/\s+$/gm, (space) => space.replaceAll(/[^\n]/g, ''));
}
