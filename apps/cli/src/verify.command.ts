import { ArtifactError, type ArtifactReader, openArtifact } from '@entrofleet/artifact';
import type { Command } from 'commander';
import { EXIT } from './cli.error.ts';
import { type CommandContext, jsonText } from './command.context.ts';
import { jsonOption, threadsOption } from './options.ts';
import { ProgressLine } from './progress.line.ts';

interface Problem {
  /** Name of the file or tensor. */
  readonly item: string;
  readonly reason: string;
  readonly message: string;
}

export function addVerifyCommand(program: Command, context: CommandContext): void {
  program
    .command('verify')
    .description('check the hash of every chunk and decode every segment')
    .argument('<file>', 'artifact')
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExits with 1 when anything is wrong, and names each wrong part.')
    .action(async (path: string, options: { threads: number; json?: boolean }) => {
      const reader = await openArtifact(path);
      try {
        const problems = await findProblems(reader, options.threads, context.signal);
        const { id, chunkCount, sizeBytes } = reader.ref;
        if (problems.length > 0) context.exitWith(EXIT.failed);
        const ok = problems.length === 0;
        if (options.json === true) {
          context.print(jsonText({ path, ok, id, sizeBytes, chunkCount, problems }));
          return;
        }
        for (const { message } of problems) context.complain(message);
        if (ok) context.print(`ok: ${chunkCount} chunks, ${sizeBytes} bytes, id ${id}\n`);
      } finally {
        await reader.close();
      }
    });
}

/** Goes on after a problem, so that each wrong file and tensor is named. */
async function findProblems(
  reader: ArtifactReader,
  threads: number,
  signal: AbortSignal,
): Promise<Problem[]> {
  const progress = new ProgressLine(process.stderr);
  const { files, tensors } = reader.header;
  const totalBytes = [...files, ...tensors].reduce((sum, item) => sum + item.payloadBytes, 0);
  const problems: Problem[] = [];
  let doneBytes = 0;
  const check = async (
    item: { name: string; payloadBytes: number },
    read: () => Promise<unknown>,
  ): Promise<void> => {
    signal.throwIfAborted();
    await read().catch((error: unknown) => {
      if (!(error instanceof ArtifactError)) throw error;
      problems.push({ item: item.name, reason: error.reason, message: error.message });
    });
    doneBytes += item.payloadBytes;
    if (process.stderr.isTTY) progress.update({ label: 'verify', doneBytes, totalBytes });
  };
  try {
    for (const file of files) await check(file, () => reader.readFile(file.name));
    for (const tensor of tensors) {
      await check(tensor, () => reader.readResident(tensor.name, { threads }));
    }
  } finally {
    progress.end();
  }
  return problems;
}
