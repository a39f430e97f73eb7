import { z } from 'zod';

const nodeSchema = z.looseObject({ type: z.string() });
const sequenceSchema = z.looseObject({ pretokenizers: z.array(z.unknown()) });

type Node = z.infer<typeof nodeSchema>;

/** GPT-2's words, in the notation of tokenizer.json. */
const BYTE_LEVEL_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * Says the same as a `pre_tokenizer` of tokenizer.json in parts that the library takes as the
 * reference does (Hugging Face's tokenizers in Rust, 0.23). By itself it keeps runs of Metaspace's
 * sign together that `split` (the default) takes apart, knows no digits but ASCII's, and counts
 * U+FEFF among white space but not U+0085 where a ByteLevel finds the words.
 */
export function rewritePreTokenizer(json: unknown): unknown {
  const parsed = nodeSchema.safeParse(json);
  if (!parsed.success) return json;
  const node = parsed.data;
  if (node.type === 'Sequence') {
    const parts = sequenceSchema.safeParse(node);
    return parts.success ? inSequence(parts.data.pretokenizers.map(rewritePreTokenizer)) : node;
  }
  if (node.type === 'Digits')
    return isolate(node.individual_digits === true ? '\\p{N}' : '\\p{N}+');
  if (node.type === 'ByteLevel') return rewriteByteLevel(node);
  return node.type === 'Metaspace' ? rewriteMetaspace(node) : node;
}

function rewriteByteLevel(node: Node): unknown {
  if (node.use_regex === false || node.add_prefix_space !== false) return node;
  return inSequence([isolate(BYTE_LEVEL_WORDS), { ...node, use_regex: false }]);
}

function rewriteMetaspace(node: Node): unknown {
  const { replacement = '\u2581', add_prefix_space, prepend_scheme } = node;
  const scheme = prepend_scheme ?? (add_prefix_space === false ? 'never' : 'always');
  const metaspace = { ...node, prepend_scheme: scheme };
  if (node.split === false || typeof replacement !== 'string') return metaspace;
  const sign = `\\u{${(replacement.codePointAt(0) ?? 0).toString(16)}}`;
  return inSequence([metaspace, isolate(`${sign}[^${sign}]*|[^${sign}]+`)]);
}

function inSequence(pretokenizers: unknown[]): unknown {
  return { type: 'Sequence', pretokenizers };
}

function isolate(regex: string): unknown {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}
