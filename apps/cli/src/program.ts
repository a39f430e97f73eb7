import { RequestRefused, ServerUnreachable } from '@entrofleet/client';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './bench.command.ts';
import { CliError, codeOf, EXIT, messageOf } from './cli.error.ts';
import type { CommandContext } from './command.context.ts';
import { addCompressCommand } from './compress.command.ts';
import { addDecompressCommand } from './decompress.command.ts';
import { addDeltaCommand } from './delta.command.ts';
import { addApplyCommand } from './fleet/apply.command.ts';
import { addDeleteCommand } from './fleet/delete.command.ts';
import { addDescribeCommand } from './fleet/describe.command.ts';
import { addDeviceCommand } from './fleet/device.command.ts';
import { addGetCommand } from './fleet/get.command.ts';
import { refusalText, unreachableText } from './fleet/refusal.text.ts';
import { addRolloutCommand } from './fleet/rollout.command.ts';
import { addInspectCommand } from './inspect.command.ts';
import { interruption } from './interruption.ts';
import { addLogitsCommand } from './logits.command.ts';
import { addPerplexityCommand } from './perplexity.command.ts';
import { addRunCommand } from './run.command.ts';
import { addVerifyCommand } from './verify.command.ts';
import { cliVersion } from './version.ts';

const HELP_END = `
Examples:
  entrofleet get devices -l site=berlin --field-selector status.phase=Failed
  entrofleet apply -f rollout.yaml && entrofleet rollout status nightly --watch
  entrofleet compress ./model -o model.efa --recipe rd-4.2
  entrofleet run model.efa -p "Once upon a time"
  entrofleet perplexity model.efa --tokens eval-tokens.json

Exit status: 0 done; 1 the input is bad, the check failed, or the controller refused; 2 wrong usage;
3 not there yet (rollout status); 130 interrupted.`;

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
    if (error instanceof CliError && error.reason === 'Usage') {
      complain(`${messageOf(error)}; see entrofleet --help`);
      return EXIT.usage;
    }
    complain(explained(error));
    if (program.opts().debug === true && error instanceof Error) {
      process.stderr.write(`${error.stack}\n`);
    }
    return EXIT.failed;
  }
}

/** Every command there is. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('entrofleet')
    .description(
      'Steer a fleet through its controller; compress, look into and run models offline.',
    )
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
  program.commandsGroup('Fleet:');
  addGetCommand(program, context);
  addDescribeCommand(program, context);
  addApplyCommand(program, context);
  addDeleteCommand(program, context);
  addRolloutCommand(program, context);
  addDeviceCommand(program, context);
  program.commandsGroup('Models, offline:');
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
  if (error instanceof RequestRefused) return refusalText(error);
  if (error instanceof ServerUnreachable) return unreachableText(error);
  if (error instanceof CliError && error.reason === 'Refused') return error.message;
  const code = codeOf(error);
  const message = messageOf(error);
  if (code === 'ENOSPC') return `${message}; free space on the disk`;
  if (code === 'EACCES' || code === 'EPERM') return `${message}; check the permissions`;
  return message;
}
