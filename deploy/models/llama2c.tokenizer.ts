import { ImportError } from './import.error.ts';

interface Token {
  readonly text: string;
  readonly score: number;
}

const TOKEN_BYTES_MAX = 1024;
const SPECIAL = ['<unk>', '<s>', '</s>'] as const;
/** Tokens for single bytes follow the special ones. */
const BYTE_TOKENS = 256;
const SPACE = '\u2581';

/**
 * Reads llama2.c's `tokenizer.bin` (max_token_length i32; per token: score f32, length i32, bytes)
 * into the content of a Hugging Face `tokenizer.json`: BPE with byte fallback, as transformers
 * converts the SentencePiece model of Llama 2.
 * @throws ImportError `BadTokenizer`.
 */
export function readLlama2cTokenizer(bytes: Uint8Array, vocabularySize: number): object {
  const tokens = readTokens(bytes, vocabularySize);
  const vocabulary = new Map(tokens.map(({ text }, id) => [text, id]));
  if (vocabulary.size !== tokens.length) {
    throw new ImportError('BadTokenizer', 'two tokens of tokenizer.bin have the same text');
  }
  const part = (side: string) => ({ Sequence: { id: side, type_id: side === 'A' ? 0 : 1 } });
  const bos = (typeId: number) => ({ SpecialToken: { id: '<s>', type_id: typeId } });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Metaspace',
      replacement: SPACE,
      prepend_scheme: 'first',
      split: false,
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [bos(0), part('A')],
      pair: [bos(0), part('A'), bos(1), part('B')],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary),
      merges: mergesOf(tokens, vocabulary),
    },
  };
}

/**
 * Every way to join two tokens into a third, best score first, then longer left part first: the
 * order in which SentencePiece applies them.
 */
function mergesOf(
  tokens: readonly Token[],
  vocabulary: ReadonlyMap<string, number>,
): [string, string][] {
  const merges = tokens.slice(SPECIAL.length + BYTE_TOKENS).flatMap(({ text, score }) => {
    const characters = Array.from(text);
    return characters.slice(1).flatMap((_, i) => {
      const left = characters.slice(0, i + 1).join('');
      const right = characters.slice(i + 1).join('');
      return vocabulary.has(left) && vocabulary.has(right) ? [{ left, right, score }] : [];
    });
  });
  merges.sort(
    (a, b) =>
      b.score - a.score ||
      Array.from(b.left).length - Array.from(a.left).length ||
      Array.from(b.right).length - Array.from(a.right).length,
  );
  return merges.map(({ left, right }) => [left, right]);
}

function readTokens(bytes: Uint8Array, vocabularySize: number): Token[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // One token is U+FEFF, which a decoder otherwise takes for a byte order mark.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const tokens: Token[] = [];
  let position = 4;
  for (let id = 0; id < vocabularySize; id++) {
    if (position + 8 > bytes.length) throw endsEarly(id);
    const score = view.getFloat32(position, true);
    const length = view.getInt32(position + 4, true);
    position += 8;
    if (length < 0 || length > TOKEN_BYTES_MAX || position + length > bytes.length) {
      throw endsEarly(id);
    }
    tokens.push({ text: tokenText(id, bytes.subarray(position, position + length)), score });
    position += length;
  }
  return tokens;

  /** llama2.c replaced these by what it prints for them; their ids tell what they were. */
  function tokenText(id: number, content: Uint8Array): string {
    const special = SPECIAL[id];
    if (special !== undefined) return special;
    const byte = id - SPECIAL.length;
    if (byte < BYTE_TOKENS) return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    return decoder.decode(content).replaceAll(' ', SPACE);
  }
}

function endsEarly(id: number): ImportError {
  return new ImportError('BadTokenizer', `tokenizer.bin ends or breaks at token ${id}`);
}
