/** What decides whether a text starts with the begin-of-sequence token. */
export interface BosEvidence {
  /** `add_bos_token` of tokenizer_config.json; undefined when absent. */
  readonly addBosToken: boolean | undefined;
  /** `tokenizer_class` of tokenizer_config.json; undefined when absent. */
  readonly tokenizerClass: string | undefined;
  /** Whether tokenizer_config.json or config.json names a begin-of-sequence token. */
  readonly bosNamed: boolean;
  /** Whether tokenizer.json's post-processor puts that token in front by itself. */
  readonly postProcessorAddsBos: boolean;
  /** Whether the vocabulary is SentencePiece's: BPE with byte fallback, or Unigram. */
  readonly sentencePiece: boolean;
}

const LEGACY_LLAMA_CLASSES: readonly string[] = [
  'LlamaTokenizer',
  'LlamaTokenizerFast',
  'CodeLlamaTokenizer',
  'CodeLlamaTokenizerFast',
];

/**
 * Whether we must put the begin-of-sequence token in front ourselves. In this order:
 *
 * 1. No such token is named, or the post-processor adds it: no.
 * 2. `add_bos_token` is stated: as it says.
 * 3. The class is one of the Llama tokenizers, whose `add_bos_token` is true by default: yes.
 * 4. Otherwise yes for SentencePiece vocabularies. Their models were trained with it, and files
 *    saved by transformers 5 have neither the old class nor the flag, although the library still
 *    adds the token. Byte-level vocabularies (GPT-2, Qwen) state it in the post-processor, or
 *    were trained without.
 */
export function mustAddBos(evidence: BosEvidence): boolean {
  if (!evidence.bosNamed || evidence.postProcessorAddsBos) return false;
  if (evidence.addBosToken !== undefined) return evidence.addBosToken;
  if (LEGACY_LLAMA_CLASSES.includes(evidence.tokenizerClass ?? '')) return true;
  return evidence.sentencePiece;
}
