import { openArtifact } from '@entrofleet/artifact';
import { generate, loadModel, parseModelConfig, readModelText } from '@entrofleet/engine';

export const PROMPT = 'once upon a time';
export const MAX_TOKENS = 12;

/** The greedy continuation of `PROMPT` by an artifact file, without any agent. */
export async function referenceText(path: string): Promise<string> {
  const reader = await openArtifact(path);
  try {
    const { tokenizer } = await readModelText(reader, parseModelConfig(reader.config));
    const model = await loadModel(
      {
        config: reader.config,
        tensorNames: reader.tensorNames,
        readResident: (name) => reader.readResident(name, { threads: 1 }),
      },
      { threads: 1 },
    );
    try {
      let text = '';
      const wanted = { model, tokenizer, prompt: PROMPT, maxTokens: MAX_TOKENS, temperature: 0 };
      for await (const piece of generate(wanted)) text += piece.text;
      return text;
    } finally {
      model.close();
    }
  } finally {
    await reader.close();
  }
}
