import { applyDeltaToFile, type EncodedDelta, encodeDelta } from '@entrofleet/artifact';
import type { Command } from 'commander';
import { type CommandContext, jsonText } from './command.context.ts';
import { deltaText } from './delta.text.ts';
import { jsonOption, threadsOption } from './options.ts';
import { assertWritableFile } from './output.path.ts';
import { ProgressLine } from './progress.line.ts';

interface DeltaOptions {
  readonly output: string;
  readonly threads: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function addDeltaCommand(program: Command, context: CommandContext): void {
  const delta = program
    .command('delta')
    .description('code an artifact against another one of the same shapes, and back');
  addFileOptions(
    delta
      .command('make')
      .description('write what turns one artifact into another')
      .argument('<base>', 'artifact that the devices hold')
      .argument('<target>', 'artifact that they are to hold')
      .requiredOption('-o, --output <file>', 'the delta to write'),
  )
    .addHelpText('after', '\nExample:\n  entrofleet delta make v1.efa v2.efa -o v1-v2.efd')
    .action((base: string, target: string, options: DeltaOptions) =>
      make({ base, target }, options, context),
    );
  addFileOptions(
    delta
      .command('apply')
      .description('rebuild the artifact, byte for byte')
      .argument('<base>', 'artifact that the delta is against')
      .argument('<delta>', 'file that delta make wrote')
      .requiredOption('-o, --output <file>', 'the artifact to write'),
  )
    .addHelpText('after', '\nExample:\n  entrofleet delta apply v1.efa v1-v2.efd -o v2.efa')
    .action((base: string, file: string, options: DeltaOptions) =>
      apply({ base, delta: file }, options, context),
    );
}

function addFileOptions(command: Command): Command {
  return command
    .addOption(threadsOption())
    .option('--force', 'replace the file if it exists')
    .addOption(jsonOption());
}

async function make(
  files: { readonly base: string; readonly target: string },
  options: DeltaOptions,
  context: CommandContext,
): Promise<void> {
  const { output: path, threads } = options;
  await assertWritableFile(path, { force: options.force === true });
  const progress = new ProgressLine(process.stderr);
  let encoded: EncodedDelta;
  try {
    encoded = await encodeDelta({
      ...files,
      path,
      threads,
      signal: context.signal,
      onProgress: (fraction) =>
        progress.update({ label: 'delta', doneBytes: fraction, totalBytes: 1 }),
    });
  } finally {
    progress.end();
  }
  context.print(options.json === true ? jsonText({ path, ...encoded }) : deltaText(path, encoded));
}

async function apply(
  files: { readonly base: string; readonly delta: string },
  options: DeltaOptions,
  context: CommandContext,
): Promise<void> {
  const { output: path, threads } = options;
  await assertWritableFile(path, { force: options.force === true });
  const ref = await applyDeltaToFile({ ...files, threads, signal: context.signal }, path);
  const { id, sizeBytes } = ref;
  context.print(
    options.json === true
      ? jsonText({ path, id, sizeBytes })
      : `${path}: ${sizeBytes} bytes, id ${id}\n`,
  );
}
