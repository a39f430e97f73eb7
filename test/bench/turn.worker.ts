/**
 * Holds a model of ours and decodes when it is told to: `node turn.worker.ts PATH THREADS FORM`.
 *
 * A line on stdin is a number of tokens to time; the answer is a line with the median of their
 * times in milliseconds. It says "ready" once the model is loaded, and ends with its stdin.
 */
import { createInterface } from 'node:readline';
import { argmax, type ModelSession, type ResidencyForm } from '@entrofleet/engine';
import { withLanguageModel } from '../../apps/cli/src/opened.model.ts';
import { spread } from './codec.measurement.ts';

const PROMPT_TOKENS = 8;
const CONTEXT_TOKENS = 256;

const [path = '', threads = '', form = ''] = process.argv.slice(2);
const signal = new AbortController().signal;
const loading = { threads: Number(threads), form: form as ResidencyForm, signal };
await withLanguageModel(path, loading, async (model) => {
  const session = model.createSession(CONTEXT_TOKENS);
  const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => i + 1);
  let logits = await session.append(prompt);
  console.log('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    logits = await decodeTurn(session, { logits, tokens: Number(line) });
    session.truncate(PROMPT_TOKENS);
  }
  session.close();
});

/** The first token wakes threads and brings back what the others' turn took from the caches. */
async function decodeTurn(
  session: ModelSession,
  of: { logits: Float32Array; tokens: number },
): Promise<Float32Array> {
  let logits = await session.append([argmax(of.logits)]);
  const timesMs: number[] = [];
  for (let i = 0; i < of.tokens; i++) {
    const startMs = performance.now();
    logits = await session.append([argmax(logits)]);
    timesMs.push(performance.now() - startMs);
  }
  console.log(spread(timesMs).median);
  return logits;
}
