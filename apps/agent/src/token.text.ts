import type { Tokenizer } from '@entrofleet/engine';
import type { TokenText } from './serve/served.model.ts';

const REPLACEMENT = '\uFFFD';

/**
 * A token's text as it stands inside of a text, where a decoder strips no space before it. A special
 * token has none and goes by its id, as in vLLM's answers.
 */
export function describeToken(tokenizer: Tokenizer, token: number): TokenText {
  const stream = tokenizer.stream(tokenizer.encode('a', { special: false }));
  const text = stream.push(token) + stream.flush();
  if (text === '') return { text: `token_id:${token}`, bytes: null, isShown: false };
  const bytes = text.includes(REPLACEMENT) ? null : [...Buffer.from(text)];
  return { text, bytes, isShown: true };
}
