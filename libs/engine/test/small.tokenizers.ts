/**
 * Small tokenizer.json files of the kinds that real models have: the same normalizers, patterns,
 * decoders and special tokens, over a vocabulary learned from a few lines.
 */
type Json = Record<string, unknown>;

const CORPUS =
  "The quick brown fox jumps over the lazy dog. It's the dog's turn now, isn't it? We'll see!\n\n" +
  'In 2024 there were 365 days, 12345 words and 3.14 pies.\n  def main():\n    return 42  # ok\n' +
  'Der große Bär läuft über die Straße. Les élèves à l’école. Привет, мир! 你好，世界。 naïve café';

/** GPT-2's bytes as characters: printable ones are themselves. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : 256 + others++),
  );
})();

const byteText = (text: string) =>
  Array.from(new TextEncoder().encode(text), (byte) => BYTE_CHARACTERS[byte]).join('');

/** Byte-pair encoding's training: joins the most frequent pair, `count` times. */
function learnMerges(words: readonly string[], count: number): [string, string][] {
  let parts = words.map((word) => Array.from(word));
  const merges: [string, string][] = [];
  while (merges.length < count) {
    const counts = new Map<string, number>();
    for (const word of parts) {
      for (let i = 1; i < word.length; i++) {
        const pair = JSON.stringify([word[i - 1], word[i]]);
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const [best] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (best === undefined || best[1] < 2) break;
    const [left, right]: [string, string] = JSON.parse(best[0]);
    merges.push([left, right]);
    parts = parts.map((word) => join(word, left, right));
  }
  return merges;
}

function join(word: readonly string[], left: string, right: string): string[] {
  const result: string[] = [];
  for (let i = 0; i < word.length; i++) {
    const isPair = word[i] === left && word[i + 1] === right;
    result.push(isPair ? left + right : (word[i] ?? ''));
    if (isPair) i++;
  }
  return result;
}

const addedToken = (id: number, content: string, special = true): Json => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special },
});

function tokenizer(
  tokens: readonly string[],
  parts: { model: Json; special: readonly string[] } & Json,
): Json {
  const { model, special, ...rest } = parts;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return {
    ...{ version: '1.0', truncation: null, padding: null },
    ...{ normalizer: null, pre_tokenizer: null, post_processor: null },
    ...rest,
    added_tokens: special.map((content, i) => addedToken(tokens.length + i, content)),
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null },
      ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ...model, vocab },
    },
  };
}

function byteLevel(pattern: RegExp, parts: Json & { special: readonly string[] }): Json {
  const merges = learnMerges((CORPUS.match(pattern) ?? []).map(byteText), 150);
  const tokens = [...BYTE_CHARACTERS, ...merges.map(([left, right]) => left + right)];
  const { model, ...rest } = parts;
  return tokenizer(tokens, {
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    ...rest,
    model: { merges: merges.map((pair) => pair.join(' ')), ...(model as Json) },
  });
}

const GPT_2 = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
const bytes = (use_regex: boolean): Json => ({
  ...{ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex },
});

const isolated = (Regex: string): Json => ({
  ...{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
});
const inSequence = (...pretokenizers: Json[]): Json => ({ type: 'Sequence', pretokenizers });

export const gpt2Tokenizer = (): Json =>
  byteLevel(GPT_2, { special: ['<|endoftext|>'], pre_tokenizer: bytes(true) });

/** SmolLM and SmolLM2: digits one by one. */
export const smolTokenizer = (): Json =>
  byteLevel(GPT_2, {
    special: ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
    pre_tokenizer: inSequence({ type: 'Digits', individual_digits: true }, bytes(true)),
  });

const LLAMA_3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" +
  '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

export const llama3Tokenizer = (): Json =>
  byteLevel(GPT_2, {
    special: ['<|begin_of_text|>', '<|end_of_text|>', '<|eot_id|>', '<|start_header_id|>'],
    pre_tokenizer: inSequence(isolated(LLAMA_3), bytes(false)),
    post_processor: {
      type: 'Sequence',
      processors: [
        bytes(true),
        {
          type: 'TemplateProcessing',
          single: [
            { SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } },
            { Sequence: { id: 'A', type_id: 0 } },
          ],
          pair: [],
          special_tokens: {
            '<|begin_of_text|>': {
              id: '<|begin_of_text|>',
              ids: [406],
              tokens: ['<|begin_of_text|>'],
            },
          },
        },
      ],
    },
    model: { ignore_merges: true },
  });

const QWEN_2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" +
  '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

export const qwen2Tokenizer = (): Json =>
  byteLevel(GPT_2, {
    special: ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
    normalizer: { type: 'NFC' },
    pre_tokenizer: inSequence(isolated(QWEN_2), bytes(false)),
    post_processor: bytes(false),
  });

/** Llama 2, TinyLlama, Mistral, Phi-3: SentencePiece's pairs, bytes for what has no token. */
function sentencePiece(parts: Json): Json {
  const indents = Array.from({ length: 4 }, () => '\u2581\u2581\u2581\u2581');
  const words = [...CORPUS.replaceAll(' ', ' \u2581').split(' '), ...indents];
  const merges = learnMerges(words, 150);
  const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, '0');
  const letters = new Set([...'\u2581', ...CORPUS.replace(/[\s\p{Script=Han}]/gu, '')]);
  const first = ['<unk>', '<s>', '</s>', ...Array.from({ length: 256 }, (_, b) => `<0x${hex(b)}>`)];
  const tokens = [...first, ...letters, ...merges.map(([left, right]) => left + right)];
  const json = tokenizer(tokens, {
    special: ['<|user|>', '<|end|>'],
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    ...parts,
    model: { merges, unk_token: '<unk>', fuse_unk: true, byte_fallback: true },
  });
  const added = json.added_tokens as Json[];
  added.unshift(...['<unk>', '<s>', '</s>'].map((content, id) => addedToken(id, content)));
  for (const token of added.slice(3)) token.rstrip = true;
  return json;
}

export const llama2Tokenizer = (): Json =>
  sentencePiece({
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '\u2581' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
  });

/** As newer conversions have it; `split` and `prepend_scheme` as given. */
export const metaspaceTokenizer = (parts: Json): Json =>
  sentencePiece({ pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', ...parts } });
