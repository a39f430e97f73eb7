import type { ModelSpec } from '@entrofleet/protocol';
import { Retryable, Unavailable, Unprocessable } from '../errors.ts';
import { runCompressor } from './compressor.process.ts';
import { SourceError } from './source.error.ts';

const TIMEOUT_MS = 60_000;
/** Each check is a process; more at the same time would only slow each other down. */
const AT_ONCE = 2;

let running = 0;
const waiting: (() => void)[] = [];

/**
 * Opens the source as the compression will: config, weights' headers, tokenizer, tokens of
 * evaluation and calibration. The weights' values are read only by the compression.
 * @throws Unprocessable naming the field and the reason; Unavailable when it cannot be found out.
 */
export async function checkSource(spec: ModelSpec): Promise<void> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    const { source, evaluation, variants } = spec;
    const calibrations = variants.flatMap(({ calibration }) => calibration ?? []);
    const task = { task: 'check', sourcePath: source.path, evaluation, calibrations } as const;
    await runCompressor(task, 'done', { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    if (error instanceof SourceError) {
      const { reason, message, pointer } = error;
      throw new Unprocessable({ reason, message, errors: [{ pointer, message }] });
    }
    if (error instanceof Retryable) {
      const detail = "the source could not be checked; the controller's log says why";
      throw new Unavailable(error.reason, detail, { cause: error });
    }
    throw error;
  } finally {
    running--;
    waiting.shift()?.();
  }
}
