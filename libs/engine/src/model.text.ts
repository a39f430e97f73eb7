import { type ChatTemplate, createChatTemplate } from './chat.template.ts';
import { EngineError } from './engine.error.ts';
import type { ModelConfig } from './model.config.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';

/** The files that lie beside a model's weights, in a folder or an artifact. */
export interface FileSource {
  readonly fileNames: readonly string[];
  readFile(name: string): Promise<Uint8Array>;
}

/** What turns texts and chats into tokens, and back. */
export interface ModelText {
  readonly tokenizer: Tokenizer;
  /**
   * @returns `undefined` when the model has none.
   * @throws EngineError `BadChatTemplate`; a model whose template is broken still continues texts.
   */
  chatTemplate(): ChatTemplate | undefined;
}

/**
 * Reads tokenizer.json and, where they are, tokenizer_config.json, special_tokens_map.json,
 * generation_config.json (for the tokens that end a text) and chat_template.jinja.
 * @throws EngineError `BadTokenizer`; errors of the source pass through.
 */
export async function readModelText(
  source: FileSource,
  config: Pick<ModelConfig, 'bosTokenId' | 'eosTokenIds'>,
): Promise<ModelText> {
  if (!source.fileNames.includes('tokenizer.json')) {
    throw new EngineError(
      'BadTokenizer',
      'the model has no tokenizer.json, which text needs; save the fast tokenizer with it',
    );
  }
  const tokenizerJson = await readJson(source, 'tokenizer.json');
  const tokenizerConfig = await readJson(source, 'tokenizer_config.json');
  const specialTokensMap = await readJson(source, 'special_tokens_map.json');
  const generationConfig = await readJson(source, 'generation_config.json');
  const chatTemplate = await readText(source, 'chat_template.jinja');
  const { bosTokenId, eosTokenIds } = config;
  const files = { tokenizerJson, tokenizerConfig, specialTokensMap, generationConfig };
  return {
    tokenizer: createTokenizer({ ...files, bosTokenId, eosTokenIds }),
    chatTemplate: () => createChatTemplate({ tokenizerConfig, specialTokensMap, chatTemplate }),
  };
}

async function readText(source: FileSource, name: string): Promise<string | undefined> {
  if (!source.fileNames.includes(name)) return undefined;
  return Buffer.from(await source.readFile(name)).toString('utf8');
}

async function readJson(source: FileSource, name: string): Promise<unknown> {
  const text = await readText(source, name);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `${name} of the model is no JSON (${reason}); save it again`;
    throw new EngineError('BadTokenizer', message, { cause });
  }
}
