import type { Tokenizer } from '@entrofleet/engine';
import type { TokenText } from './serve/served.model.ts';

const REPLACEMENT = '\uFFFD';

/** A token's text as it stands inside of a text, where a decoder strips no space before it. */
export function describeToken(tokenizer: Tokenizer, token: number): TokenText {
  const stream = tokenizer.stream(tokenizer.encode('a', { special: false }));
  const text = stream.push(token) + stream.flush();
  if (text === '') return { text: `token_id:${token}`, bytes: null };
  return { text, bytes: text.includes(REPLACEMENT) ? null : [...Buffer.from(text)] };
}
