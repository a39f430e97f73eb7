import { openArtifact } from '@entrofleet/artifact';
import type { Command } from 'commander';
import { type CommandContext, jsonText } from './command.context.ts';
import {
  codedFacts,
  configSummary,
  inspectText,
  layerFacts,
  recipeText,
  tensorFacts,
} from './inspect.text.ts';
import { jsonOption } from './options.ts';

export function addInspectCommand(program: Command, context: CommandContext): void {
  program
    .command('inspect')
    .description('show what an artifact holds, its bits, entropy and quality, without decoding it')
    .argument('<file>', 'artifact')
    .option('--tensors', 'list every tensor')
    .addOption(jsonOption())
    .action(async (path: string, options: { tensors?: boolean; json?: boolean }) => {
      const reader = await openArtifact(path);
      try {
        const { header, evaluation } = reader;
        if (options.json !== true) {
          context.print(
            inspectText(header, { path, withTensors: options.tensors === true, evaluation }),
          );
          return;
        }
        const tensors = header.tensors.map(tensorFacts);
        const files = header.files.map(({ name, codec, sizeBytes, payloadBytes }) => {
          return { name, codec, sizeBytes, storedBytes: payloadBytes };
        });
        context.print(
          jsonText({
            path,
            ...header.ref,
            recipe: recipeText(header.recipe),
            config: configSummary(header.config),
            files,
            coded: codedFacts(header),
            evaluation: evaluation ?? null,
            layers: layerFacts(tensors),
            tensors,
          }),
        );
      } finally {
        await reader.close();
      }
    });
}
