import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './bench.command.ts';
import { codeOf, EXIT, messageOf } from './cli.error.ts';
import type { CommandContext } from './command.context.ts';
import { addCompressCommand } from './compress.command.ts';
import { addDecompressCommand } from './decompress.command.ts';
import { addDeltaCommand } from './delta.command.ts';
import { addInspectCommand } from './inspect.command.ts';
import { interruption } from './interruption.ts';
import { addLogitsCommand } from './logits.command.ts';
import { addPerplexityCommand } from './perplexity.command.ts';
import { addRunCommand } from './run.command.ts';
import { addVerifyCommand } from './verify.command.ts';
import { cliVersion } from './version.ts';

const HELP_END = `
Examples:
  entrofleet compress ./model -o model.efa --recipe rd-4.2
  entrofleet run model.efa -p "Once upon a time"
  entrofleet perplexity model.efa --tokens eval-tokens.json

Exit status: 0 done; 1 the input is bad or the check failed; 2 wrong usage; 130 interrupted.`;

/**
 * Runs one command line; every failure becomes one line on stderr.
 * @returns the exit status.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  let status: number = EXIT.ok;
  const complain = (message: string): void => {
    process.stderr.write(`entrofleet: ${message}\n`);
  };
  const context: CommandContext = {
    signal: interruption(),
    print: (text) => void process.stdout.write(text),
    complain,
    exitWith: (wanted) => {
      status = wanted;
    },
  };
  const program = createProgram(context);
  try {
    await program.parseAsync(argv);
    return status;
  } catch (error) {
    if (context.signal.aborted) {
      complain('interrupted');
      return EXIT.interrupted;
    }
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    complain(explained(error));
    if (program.opts().debug === true && error instanceof Error) {
      process.stderr.write(`${error.stack}\n`);
    }
    return EXIT.failed;
  }
}

function createProgram(context: CommandContext): Command {
  const program = new Command('entrofleet')
    .description('Compress LLM checkpoints, look into artifacts, and run them, offline.')
    .version(cliVersion())
    .option('--debug', 'print stack traces (before the command)')
    .addHelpText('after', HELP_END)
    .exitOverride()
    .configureOutput({
      outputError: (text) => {
        const message = text
          .replace(/^error: /, '')
          .trim()
          .replaceAll(/\s*\n\s*/g, ' ');
        context.complain(`${message}; see entrofleet --help`);
      },
    });
  addCompressCommand(program, context);
  addInspectCommand(program, context);
  addVerifyCommand(program, context);
  addDecompressCommand(program, context);
  addDeltaCommand(program, context);
  addRunCommand(program, context);
  addPerplexityCommand(program, context);
  addLogitsCommand(program, context);
  addBenchCommand(program, context);
  return program;
}

/** Errors of the operating system say what failed, but not what to do. */
function explained(error: unknown): string {
  const code = codeOf(error);
  const message = messageOf(error);
  if (code === 'ENOSPC') return `${message}; free space on the disk`;
  if (code === 'EACCES' || code === 'EPERM') return `${message}; check the permissions`;
  return message;
}
