import {
  type Calibration,
  type Checkpoint,
  type EncodedArtifact,
  encodeArtifact,
  LAYOUTS,
  type Layout,
  openCheckpoint,
} from '@entrofleet/artifact';
import { parseModelConfig } from '@entrofleet/engine';
import { LIMITS, parseRecipe, type Recipe } from '@entrofleet/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { evaluateArtifact } from './artifact.evaluation.ts';
import { withCalibration } from './calibration.folder.ts';
import { CliError } from './cli.error.ts';
import { type CommandContext, jsonText } from './command.context.ts';
import { compressText } from './compress.text.ts';
import { integerFrom, jsonOption, threadsOption } from './options.ts';
import { assertWritableFile } from './output.path.ts';
import { readMeasuredRows } from './perplexity.measure.ts';
import { ProgressLine } from './progress.line.ts';

interface CompressOptions {
  readonly output: string;
  readonly recipe: Recipe;
  readonly layout: Layout;
  readonly evaluate?: string;
  readonly evaluateRows?: number;
  readonly threads: number;
  readonly chunkSize: number;
  readonly calibrate?: string;
  readonly calibrateSkip: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function addCompressCommand(program: Command, context: CommandContext): void {
  program
    .command('compress')
    .description('encode a Hugging Face folder into an artifact')
    .argument('<dir>', 'folder with config.json, safetensors and tokenizer.json')
    .requiredOption('-o, --output <file>', 'the artifact to write')
    .requiredOption(
      '--recipe <recipe>',
      'u8, u4-paper, rd-<bits per weight> or rd-q<decibels>',
      recipeFrom,
    )
    .addOption(
      new Option('--layout <layout>', 'how coded weights are laid out')
        .choices(LAYOUTS)
        .default('auto'),
    )
    .option('--evaluate <file>', 'measure perplexity on these token rows and keep it in the file')
    .option('--evaluate-rows <n>', 'use only the first rows', integerFrom(1, 1_000_000))
    .addOption(threadsOption())
    .option(
      '--chunk-size <bytes>',
      'largest unit of transfer',
      integerFrom(LIMITS.chunkSizeBytesMin, LIMITS.chunkSizeBytesMax),
      LIMITS.chunkSizeBytes,
    )
    .option(
      '--calibrate <file>',
      'JSON rows of token ids; rd recipes then spend bits where these tokens need them',
    )
    .option(
      '--calibrate-skip <rows>',
      'leave out the first rows of that file, e.g. those that perplexity is measured on',
      integerFrom(0, 1_000_000),
      0,
    )
    .option('--force', 'replace the artifact if it exists')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  entrofleet compress ./model -o model.efa --recipe rd-4.2')
    .action((folder: string, options: CompressOptions) => compress(folder, options, context));
}

function recipeFrom(text: string): Recipe {
  const recipe = parseRecipe(text);
  if (recipe !== undefined) return recipe;
  throw new InvalidArgumentError(
    'Use u8, u4-paper, rd-<1.5 to 7.5> or rd-q<6 to 45>, e.g. rd-4.2 or rd-q24.',
  );
}

async function compress(
  folder: string,
  options: CompressOptions,
  context: CommandContext,
): Promise<void> {
  const { output, recipe, threads } = options;
  await assertWritableFile(output, { force: options.force === true });
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional', threads });
  const progress = new ProgressLine(process.stderr);
  const { evaluate: tokens, evaluateRows: rows } = options;
  try {
    // Hours of work must not end at a typing error in the tokens.
    if (tokens !== undefined) {
      await readMeasuredRows({ tokens, rows }, parseModelConfig(checkpoint.config));
    }
    if (!checkpoint.files.some(({ name }) => name === 'tokenizer.json')) {
      context.complain(
        `note: ${folder} has no tokenizer.json; the artifact can be measured, but not run as text`,
      );
    }
    const encode = (calibration?: Calibration) =>
      encodeArtifact({
        checkpoint,
        recipe,
        path: output,
        layout: options.layout,
        threads,
        chunkSizeBytes: options.chunkSize,
        signal: context.signal,
        onProgress: ({ phase, doneBytes, totalBytes }) =>
          progress.update({ label: phase, doneBytes, totalBytes }),
        ...(calibration === undefined ? {} : { calibration }),
      });
    const encoded = await encodeWith(encode, { checkpoint, options, context, progress });
    progress.end();
    const evaluation =
      tokens === undefined
        ? null
        : await evaluateArtifact({ folder, output, tokens, rows, threads, signal: context.signal });
    const result = { path: output, recipe: recipe.text, ...encoded, evaluation };
    const text = compressText(output, { ...encoded, evaluation });
    context.print(options.json === true ? jsonText(result) : text);
  } finally {
    progress.end();
    await checkpoint.close();
  }
}

async function encodeWith(
  encode: (calibration?: Calibration) => Promise<EncodedArtifact>,
  of: {
    readonly checkpoint: Checkpoint;
    readonly options: CompressOptions;
    readonly context: CommandContext;
    readonly progress: ProgressLine;
  },
): Promise<EncodedArtifact> {
  const { checkpoint, options, context, progress } = of;
  const { recipe, output, threads, calibrate, calibrateSkip: skipRows } = options;
  if (calibrate === undefined) return encode();
  if (recipe.kind === 'affine') {
    throw new CliError('BadInput', `${recipe.text} is not calibrated; use rd-<bits> or rd-q<dB>`);
  }
  const { signal } = context;
  const work = { checkpoint, tokensPath: calibrate, skipRows, output, threads, signal, progress };
  return withCalibration(work, encode);
}
