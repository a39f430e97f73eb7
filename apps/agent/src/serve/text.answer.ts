import type { BatchRequest } from '@entrofleet/engine';
import type { AnswerForm, ScoredToken, TextDelta, Usage } from './answer.form.ts';
import type { EventStream } from './event.stream.ts';
import { ApiError } from './openai.error.ts';
import type { ServedModel } from './served.model.ts';
import { TokenPlaces } from './token.places.ts';

/** A text to be generated. */
export interface TextTask {
  /** Its place among the choices. */
  readonly index: number;
  readonly request: BatchRequest;
  /** What the answer begins with, when the prompt is to be echoed. */
  readonly echo: string;
}

export interface TextMeter {
  /** The text with this index has one token more. */
  onToken(index: number): void;
}

export interface TextJob {
  readonly model: ServedModel;
  readonly form: AnswerForm;
  readonly tasks: readonly TextTask[];
  /** Tokens of every prompt once, however many texts continue it. */
  readonly promptTokens: number;
  readonly meter: TextMeter;
}

/** Generates all texts to their end. */
export async function answerWhole(job: TextJob): Promise<{ body: object; usage: Usage }> {
  const { tasks, form } = job;
  let completionTokens = 0;
  const texts = await together(tasks, async (task, signal) => {
    let text = '';
    const tokens: ScoredToken[] = [];
    let last: TextDelta | null = null;
    for await (const delta of deltas(job, { task, signal })) {
      text += delta.text;
      tokens.push(...(delta.tokens ?? []));
      completionTokens += delta.newTokens;
      last = delta;
    }
    if (last?.finishReason == null) throw endless();
    return { ...last, text, tokens: last.tokens === null ? null : tokens };
  });
  const usage = { promptTokens: job.promptTokens, completionTokens };
  return { body: form.whole(texts, usage), usage };
}

/** Sends all texts as they come, mixed. */
export async function answerStream(
  job: TextJob,
  use: { stream: EventStream; includeUsage: boolean },
): Promise<Usage> {
  const { stream } = use;
  let completionTokens = 0;
  await together(job.tasks, async (task, signal) => {
    let opening = job.form.opening(task.index);
    for await (const delta of deltas(job, { task, signal })) {
      completionTokens += delta.newTokens;
      if (opening !== null) await stream.send(opening);
      opening = null;
      // Tokens whose text is held back say nothing by themselves.
      const says = delta.text !== '' || delta.finishReason !== null || delta.tokens?.length;
      if (says) await stream.send(job.form.chunk(delta));
    }
  });
  const usage = { promptTokens: job.promptTokens, completionTokens };
  if (use.includeUsage) await stream.send(job.form.usageChunk(usage));
  return usage;
}

/** Runs the work of all tasks; when one fails the others are ended, and its error is thrown. */
async function together<Result>(
  tasks: readonly TextTask[],
  work: (task: TextTask, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const failed = new AbortController();
  const results = await Promise.allSettled(
    tasks.map(async (task) => {
      const { signal } = task.request;
      const either = signal === undefined ? [failed.signal] : [failed.signal, signal];
      try {
        return await work(task, AbortSignal.any(either));
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

async function* deltas(
  job: TextJob,
  { task, signal }: { task: TextTask; signal: AbortSignal },
): AsyncGenerator<TextDelta & { readonly newTokens: number }> {
  const { index, request } = task;
  const places = new TokenPlaces(job.model, task.echo);
  let echo = task.echo;
  for await (const piece of job.model.generate({ ...request, signal })) {
    const prompt = places.ofPrompt(piece.promptScores ?? []);
    const own = piece.logprob === undefined ? [] : [places.ofNext(piece.logprob)];
    const tokens = request.logprobs === undefined ? null : [...prompt, ...own];
    if (piece.tokenId !== null) job.meter.onToken(index);
    const newTokens = piece.tokenId === null ? 0 : 1;
    yield { index, text: echo + piece.text, tokens, finishReason: piece.finishReason, newTokens };
    echo = '';
  }
}

function endless(): ApiError {
  const message = 'the generation ended without a finish reason';
  return new ApiError({ status: 500, type: 'server_error', message });
}
