import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { mustAddBos } from './bos.rule.ts';
import { EngineError } from './engine.error.ts';
import { rewritePreTokenizer } from './pre.tokenizer.ts';
import { TextStream } from './text.stream.ts';

export interface Tokenizer {
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** All tokens that any of the model's files says end a text. */
  readonly endTokenIds: readonly number[];
  /** One more than the largest id of its vocabulary, added tokens left out. */
  readonly vocabularySize: number;
  /**
   * Token ids of a text. With `special` (the default) also the tokens the model expects around a
   * text, such as begin-of-sequence; see {@link mustAddBos}.
   */
  encode(text: string, options?: { special?: boolean }): number[];
  /** Text of tokens without the special ones. */
  decode(tokens: readonly number[]): string;
  /** Text of tokens as they come, continuing `before`. */
  stream(before?: readonly number[]): TextStream;
}

const tokenText = z.union([z.string(), z.object({ content: z.string() })]).nullish();

const tokenizerConfigSchema = z.object({
  bos_token: tokenText,
  eos_token: tokenText,
  add_bos_token: z.boolean().nullish(),
  tokenizer_class: z.string().nullish(),
});

const specialTokensSchema = z.object({ bos_token: tokenText, eos_token: tokenText });

const generationConfigSchema = z.object({
  eos_token_id: z.union([z.int(), z.array(z.int()).max(256)]).nullish(),
});

const tokenizerJsonSchema = z.object({
  model: z.object({
    type: z.string().optional(),
    byte_fallback: z.boolean().nullish(),
    /** Ids by token, or for Unigram the tokens in the order of their ids. */
    vocab: z.union([z.record(z.string(), z.int().min(0)), z.array(z.unknown())]).optional(),
  }),
  added_tokens: z
    .array(z.object({ id: z.int().min(0), content: z.string(), special: z.boolean().optional() }))
    .nullish(),
});

export interface TokenizerFiles {
  /** Parsed tokenizer.json. */
  readonly tokenizerJson: unknown;
  /** Parsed tokenizer_config.json; undefined when the model has none. */
  readonly tokenizerConfig?: unknown;
  /** Parsed special_tokens_map.json, for tokens that tokenizer_config.json does not name. */
  readonly specialTokensMap?: unknown;
  /** Parsed generation_config.json, for the tokens that end a text. */
  readonly generationConfig?: unknown;
  /** `bos_token_id` and `eos_token_id` of config.json, for files that do not name them. */
  readonly bosTokenId?: number | null;
  readonly eosTokenIds?: readonly number[];
}

/** @throws EngineError `BadTokenizer`. */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const json = parsed(tokenizerJsonSchema, files.tokenizerJson, 'tokenizer.json');
  const config = parsed(
    tokenizerConfigSchema,
    files.tokenizerConfig ?? {},
    'tokenizer_config.json',
  );
  const map = parsed(specialTokensSchema, files.specialTokensMap ?? {}, 'special_tokens_map.json');
  const library = openLibrary(files);
  const named = (token: z.infer<typeof tokenText>) => tokenId(library, token);
  const bosTokenId = named(config.bos_token) ?? named(map.bos_token) ?? files.bosTokenId ?? null;
  const eosTokenId =
    named(config.eos_token) ?? named(map.eos_token) ?? files.eosTokenIds?.[0] ?? null;
  const special = new Set(json.added_tokens?.filter((t) => t.special === true).map((t) => t.id));
  const addBos = mustAddBos({
    addBosToken: config.add_bos_token ?? undefined,
    tokenizerClass: config.tokenizer_class ?? undefined,
    bosNamed: bosTokenId !== null,
    postProcessorAddsBos: bosTokenId !== null && encode(library, 'a', true)[0] === bosTokenId,
    sentencePiece: json.model.byte_fallback === true || json.model.type === 'Unigram',
  });
  const decode = (tokens: readonly number[]): string => {
    const shown = tokens.filter((token) => !special.has(token));
    if (shown.length === 0) return '';
    return library.decode(shown, { clean_up_tokenization_spaces: false });
  };
  return {
    bosTokenId,
    eosTokenId,
    endTokenIds: endTokenIds(files, eosTokenId),
    vocabularySize: vocabularySize(json.model.vocab ?? []),
    encode: (text, options = {}) => {
      const wanted = options.special ?? true;
      const tokens = encode(library, text, wanted);
      return wanted && addBos && bosTokenId !== null ? [bosTokenId, ...tokens] : tokens;
    },
    decode,
    stream: (before = []) =>
      new TextStream({ decode, isSpecial: (token) => special.has(token), before }),
  };
}

function vocabularySize(vocabulary: Record<string, number> | unknown[]): number {
  if (Array.isArray(vocabulary)) return vocabulary.length;
  return Object.values(vocabulary).reduce((most, id) => Math.max(most, id + 1), 0);
}

function parsed<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  file: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw new EngineError('BadTokenizer', `${file}: ${where}${issue?.message ?? 'invalid'}`);
}

function openLibrary(files: TokenizerFiles): LibraryTokenizer {
  try {
    const json = Object(files.tokenizerJson);
    const adapted = { ...json, pre_tokenizer: rewritePreTokenizer(json.pre_tokenizer ?? null) };
    return new LibraryTokenizer(adapted, Object(files.tokenizerConfig ?? {}));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('BadTokenizer', `tokenizer.json cannot be used: ${reason}`, { cause });
  }
}

function endTokenIds(files: TokenizerFiles, eosTokenId: number | null): number[] {
  const generation = parsed(
    generationConfigSchema,
    files.generationConfig ?? {},
    'generation_config.json',
  );
  const stated = [generation.eos_token_id ?? []].flat().filter((id) => id >= 0);
  const own = eosTokenId === null ? [] : [eosTokenId];
  return [...new Set([...own, ...(files.eosTokenIds ?? []), ...stated])];
}

function tokenId(library: LibraryTokenizer, token: z.infer<typeof tokenText>): number | undefined {
  if (token == null) return undefined;
  return library.token_to_id(typeof token === 'string' ? token : token.content);
}

function encode(library: LibraryTokenizer, text: string, special: boolean): number[] {
  const ids: (number | undefined)[] = library.encode(text, { add_special_tokens: special }).ids;
  return ids.map((id) => {
    if (id !== undefined) return id;
    throw new EngineError('BadTokenizer', 'the text has a character that has no token');
  });
}
