import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ArtifactReader, openArtifact } from '@entrofleet/artifact';
import { type Command, Option } from 'commander';
import { type CommandContext, jsonText } from './command.context.ts';
import { BYTES_OF_TYPE, FLOAT_TYPES, floatBytes, type OutputType } from './float.encoding.ts';
import { threadsOption } from './options.ts';
import { ProgressLine } from './progress.line.ts';
import { syncPath, writeFolder } from './staged.folder.ts';

const HEADER_ALIGNMENT = 8;
const CONFIG_TYPES = { f32: 'float32', bf16: 'bfloat16', f16: 'float16' } as const;

interface DecompressOptions {
  readonly output: string;
  readonly type: OutputType;
  readonly threads: number;
  readonly force?: boolean;
}

export function addDecompressCommand(program: Command, context: CommandContext): void {
  program
    .command('decompress')
    .description('decode an artifact to a Hugging Face folder')
    .argument('<file>', 'artifact')
    .requiredOption('-o, --output <dir>', 'the folder to write')
    .addOption(
      new Option('--type <type>', 'element type of all tensors')
        .choices(FLOAT_TYPES)
        .default('f32'),
    )
    .addOption(threadsOption())
    .option('--force', 'replace files in a folder that is not empty')
    .addHelpText('after', '\nExample:\n  entrofleet decompress model.efa -o ./model --type bf16')
    .action(async (path: string, options: DecompressOptions) => {
      const reader = await openArtifact(path);
      try {
        await writeFolder(options.output, { force: options.force === true }, (folder) =>
          writeCheckpoint(reader, { ...options, folder, signal: context.signal }),
        );
        const tensors = reader.header.tensors.length;
        context.print(`${options.output}: ${tensors} tensors in ${options.type}\n`);
      } finally {
        await reader.close();
      }
    });
}

interface Writing {
  readonly folder: string;
  readonly type: OutputType;
  readonly threads: number;
  readonly signal: AbortSignal;
}

async function writeCheckpoint(reader: ArtifactReader, writing: Writing): Promise<void> {
  const { folder, type } = writing;
  await writeDurable(join(folder, 'config.json'), jsonText(typedConfig(reader.config, type)));
  for (const name of reader.fileNames) {
    await writeDurable(join(folder, name), await reader.readFile(name));
  }
  await writeWeights(reader, writing);
}

/** config.json says in which type the weights are, under one of two keys. */
function typedConfig(
  config: Readonly<Record<string, unknown>>,
  type: OutputType,
): Record<string, unknown> {
  const key = 'dtype' in config ? 'dtype' : 'torch_dtype';
  return { ...config, [key]: CONFIG_TYPES[type] };
}

async function writeDurable(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content);
  await syncPath(path);
}

/** One tensor at a time is in memory. */
async function writeWeights(reader: ArtifactReader, writing: Writing): Promise<void> {
  const { folder, type, threads, signal } = writing;
  const { header, totalBytes } = safetensorsHeader(reader, type);
  const progress = new ProgressLine(process.stderr);
  const file = await open(join(folder, 'model.safetensors'), 'wx');
  try {
    await file.writeFile(header);
    let doneBytes = 0;
    for (const name of reader.tensorNames) {
      signal.throwIfAborted();
      const bytes = floatBytes(await reader.readFloat(name, { threads }), type);
      await file.writeFile(bytes);
      doneBytes += bytes.length;
      progress.update({ label: 'decode', doneBytes, totalBytes });
    }
    await file.sync();
  } finally {
    progress.end();
    await file.close();
  }
}

/** https://huggingface.co/docs/safetensors: size of the JSON, JSON padded with spaces, data. */
function safetensorsHeader(
  reader: ArtifactReader,
  type: OutputType,
): { header: Uint8Array; totalBytes: number } {
  const entries: [string, object][] = [['__metadata__', { format: 'pt' }]];
  let offset = 0;
  for (const { name, shape } of reader.header.tensors) {
    const end = offset + shape.reduce((product, size) => product * size, BYTES_OF_TYPE[type]);
    entries.push([name, { dtype: type.toUpperCase(), shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padding = (HEADER_ALIGNMENT - (json.length % HEADER_ALIGNMENT)) % HEADER_ALIGNMENT;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length + padding));
  const header = Buffer.concat([length, json, Buffer.alloc(padding, ' ')]);
  return { header, totalBytes: offset };
}
