/** Why bytes are no acceptable JSON, as the end of a sentence, e.g. "is nested too deeply". */
export class JsonRejected extends Error {
  override readonly name = 'JsonRejected';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses UTF-8 JSON (RFC 8259) of bounded depth and number of values. The number matters because
 * an empty list takes two bytes in the file and many times that in memory.
 * @param bytes already bounded in size by the caller.
 * @throws JsonRejected whose message continues "the file ...".
 */
export function parseBoundedJson(
  bytes: Uint8Array,
  limits: { depth: number; values: number },
): unknown {
  const { depth, values } = measure(bytes);
  if (depth > limits.depth) {
    throw new JsonRejected(`is nested deeper than ${limits.depth} levels`);
  }
  if (values > limits.values) throw new JsonRejected(`holds more than ${limits.values} values`);
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new JsonRejected(`is not JSON in UTF-8 (${detail.slice(0, 200)})`, { cause });
  }
}

/** True for what JSON calls an object. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Deepest nesting of brackets outside strings, and an upper bound on the number of values. It
 * needs no valid JSON.
 */
function measure(bytes: Uint8Array): { depth: number; values: number } {
  let open = 0;
  let depth = 0;
  let values = 1;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === COMMA) {
      values++;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      values++;
      open++;
      if (open > depth) depth = open;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      open--;
    }
  }
  return { depth, values };
}
