/**
 * What it gives to decode requests together, and what it costs the others to read a long prompt:
 * `make bench-serving`.
 *
 *   node test/bench/serving.bench.ts [--threads 2] [--rounds 3] [--json]
 *
 * The model has random weights of 8 bits, 170 million of them: more than caches hold, so that the
 * memory bounds a token as it does for larger ones.
 */
import { parseArgs } from 'node:util';
import {
  type BatchRequest,
  createTokenizer,
  GenerationBatch,
  type LanguageModel,
} from '@entrofleet/engine';
import { createTinyModel } from '../../libs/engine/test/tiny.model.ts';
import { tinyTokenizer } from '../fixtures/tiny.tokenizer.ts';
import { type Spread, spread } from './codec.measurement.ts';

const VOCABULARY = 32_000;
const CONTEXT = 2048;
const TOGETHER = [1, 2, 4, 8];
const SHORT_PROMPT = 16;
const LONG_PROMPT = 1024;
const TURN_TOKENS = 32;
const GENERATED = 64;

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});

const model = createTinyModel({
  format: 'u8',
  threads: Number(options.threads),
  config: {
    vocab_size: VOCABULARY,
    hidden_size: 1024,
    intermediate_size: 2816,
    num_hidden_layers: 12,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    max_position_embeddings: CONTEXT,
    eos_token_id: null,
  },
});
const { tokenizer: tokenizerJson, tokenizerConfig } = tinyTokenizer(VOCABULARY);
const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig });

function createBatch(): GenerationBatch {
  const keyValueBytes = 10 * model.kvCacheBytes(CONTEXT);
  return new GenerationBatch({
    model,
    tokenizer,
    contextLength: CONTEXT,
    sequences: 8,
    keyValueBytes,
  });
}

const promptOf = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => 300 + ((i * 7919 + seed * 104_729) % (VOCABULARY - 300)));

const requestOf = (length: number, seed: number, maxTokens = GENERATED): BatchRequest => ({
  ...{ prompt: promptOf(length, seed), maxTokens, seed },
});

/** Times at which tokens came, in milliseconds since the call. */
async function tokenTimes(batch: GenerationBatch, request: BatchRequest): Promise<number[]> {
  const startMs = performance.now();
  const times: number[] = [];
  for await (const piece of batch.generate(request)) {
    if (piece.tokenId !== null) times.push(performance.now() - startMs);
  }
  return times;
}

/** Tokens per second of all of them together, once the first token of each has come. */
async function throughput(count: number): Promise<number> {
  const batch = createBatch();
  const seeds = Array.from({ length: count }, (_, i) => i);
  const times = await Promise.all(
    seeds.map((seed) => tokenTimes(batch, requestOf(SHORT_PROMPT, seed))),
  );
  batch.close();
  const beganMs = Math.max(...times.map(([first = 0]) => first));
  const lasted = times.flat().filter((time) => time > beganMs);
  return lasted.length / ((Math.max(...lasted) - beganMs) / 1000);
}

interface Stall {
  readonly usualMs: number;
  readonly longestMs: number;
  readonly firstTokenMs: number;
}

/** Between two tokens of one request: usually, and while a long prompt is read. */
async function stall(): Promise<Stall> {
  const batch = createBatch();
  const gaps: number[] = [];
  let late: Promise<number[]> | undefined;
  let lastMs = 0;
  for await (const _ of batch.generate(requestOf(SHORT_PROMPT, 1, 160))) {
    const nowMs = performance.now();
    if (lastMs > 0) gaps.push(nowMs - lastMs);
    lastMs = nowMs;
    if (gaps.length === 40) late = tokenTimes(batch, requestOf(LONG_PROMPT, 2, 1));
  }
  const [firstTokenMs = Number.NaN] = (await late) ?? [];
  batch.close();
  const usualMs = spread(gaps.slice(0, 40)).median;
  return { usualMs, longestMs: Math.max(...gaps.slice(40)), firstTokenMs };
}

/** First token of a chat's first turn, and of the next one that begins with it. */
async function turns(): Promise<{ coldMs: number; warmMs: number }> {
  const batch = createBatch();
  const first = requestOf(LONG_PROMPT, 3, 1);
  const [coldMs = Number.NaN] = await tokenTimes(batch, first);
  const prompt = [...first.prompt, ...promptOf(TURN_TOKENS, 4)];
  const [warmMs = Number.NaN] = await tokenTimes(batch, { ...first, prompt });
  batch.close();
  return { coldMs, warmMs };
}

async function rounds<Result>(work: () => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let round = 0; round < Number(options.rounds); round++) results.push(await work());
  return results;
}

const shown = ({ median, least, greatest }: Spread, digits = 1) =>
  `${median.toFixed(digits)} (${least.toFixed(digits)} to ${greatest.toFixed(digits)})`;

async function measure(measured: LanguageModel) {
  await throughput(1);
  // All numbers of requests in every round, so that a change of the machine's load meets all.
  const speeds = await rounds(async () => {
    const round: number[] = [];
    for (const count of TOGETHER) round.push(await throughput(count));
    return round;
  });
  const together = TOGETHER.map((count, i) => ({
    count,
    tokensPerSecond: spread(speeds.map((round) => round[i] ?? Number.NaN)),
    ratio: spread(speeds.map((round) => (round[i] ?? Number.NaN) / (round[0] ?? Number.NaN))),
  }));
  const stalls = await rounds(stall);
  const chats = await rounds(turns);
  const over = <Row>(rows: Row[], of: (row: Row) => number) => spread(rows.map(of));
  return {
    ...{ threads: measured.threads, weightBytes: measured.weightBytes, together },
    usualMs: over(stalls, (row) => row.usualMs),
    longestMs: over(stalls, (row) => row.longestMs),
    lateFirstTokenMs: over(stalls, (row) => row.firstTokenMs),
    coldMs: over(chats, (row) => row.coldMs),
    warmMs: over(chats, (row) => row.warmMs),
  };
}

const result = await measure(model);
if (options.json) {
  console.log(JSON.stringify(result));
} else {
  const megabytes = Math.round(result.weightBytes / 1e6);
  console.log(`${megabytes} MB of weights, ${result.threads} threads; medians (least to greatest)`);
  for (const { count, tokensPerSecond, ratio } of result.together) {
    console.log(
      `${count} together: ${shown(tokensPerSecond)} tokens/s, ${shown(ratio, 2)} times one alone`,
    );
  }
  console.log(`between two tokens: ${shown(result.usualMs)} ms`);
  console.log(
    `the longest while a prompt of ${LONG_PROMPT} tokens is read: ${shown(result.longestMs)} ms; ` +
      `its first token after ${shown(result.lateFirstTokenMs)} ms`,
  );
  console.log(
    `first token after ${LONG_PROMPT} tokens: ${shown(result.coldMs)} ms; of the next turn with ` +
      `${TURN_TOKENS} tokens more: ${shown(result.warmMs)} ms`,
  );
}
