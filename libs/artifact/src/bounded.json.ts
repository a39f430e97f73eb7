/** Why bytes are no acceptable JSON, as the end of a sentence, e.g. "is nested too deeply". */
export class JsonRejected extends Error {
  override readonly name = 'JsonRejected';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses UTF-8 JSON (RFC 8259) of bounded depth.
 * @param bytes already bounded in size by the caller.
 * @throws JsonRejected whose message continues "the file ...".
 */
export function parseBoundedJson(bytes: Uint8Array, limits: { depth: number }): unknown {
  if (nestingDepth(bytes) > limits.depth) {
    throw new JsonRejected(`is nested deeper than ${limits.depth} levels`);
  }
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

/** Deepest nesting of brackets outside strings; it needs no valid JSON. */
function nestingDepth(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    }
  }
  return deepest;
}
