import { chooseAdmitted, choosePreempted, type MemberView, planRound } from './batch.plan.ts';
import { EngineError } from './engine.error.ts';
import {
  type GeneratedPiece,
  GenerationSequence,
  type SequenceModel,
  type SequenceOptions,
  sequenceModel,
} from './generation.sequence.ts';
import type { LanguageModel } from './language.model.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { PieceQueue } from './piece.queue.ts';
import { type SessionLease, SessionPool } from './session.pool.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface BatchOptions {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** Prompt and completion together, at most the model's. */
  readonly contextLength: number;
  /** Sequences decoded at the same time, 1 to 32; more wait. */
  readonly sequences: number;
  /** Memory for KV caches; one whole context is always granted. */
  readonly keyValueBytes: number;
}

export interface BatchRequest extends SequenceOptions {
  /** Texts that are asked for together have the same; groups take turns. Default: its own. */
  readonly group?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BatchStatistics {
  readonly runningSequences: number;
  readonly waitingSequences: number;
  readonly keyValueBytes: number;
  readonly keyValueBudgetBytes: number;
  /** Tokens of prompts that were found in the KV cache of an earlier text. */
  readonly sharedTokens: number;
  /** Times a sequence gave its KV cache up for another and was read again. */
  readonly preemptions: number;
}

interface Member {
  readonly order: number;
  readonly group: string;
  readonly sequence: GenerationSequence;
  readonly pieces: PieceQueue<GeneratedPiece>;
  /** Aborted when nobody wants it any more. */
  readonly left: AbortController;
  /** null while it waits. */
  lease: SessionLease | null;
  prefilledInRound: number;
}

type Running = Member & { lease: SessionLease };

/** Pieces made ahead of a slow reader before its sequence pauses. */
const PIECES_AHEAD = 64;
/** Sequences that decode wait no longer than this for a block of another's prompt. */
const STALL_SECONDS = 0.1;
/** Memory asked for beyond a prompt, so that a sequence that begins does not stop at once. */
const HEADROOM_TOKENS = 64;
const SCORED_BLOCK_TOKENS = 32;

/**
 * Generates several texts at the same time (continuous batching, Orca, OSDI 2022): each pass over
 * the weights gives one token to every sequence that is ready, prompts are read in bounded blocks
 * in between, and sequences come and go at any pass. Each gets exactly the tokens it would get
 * alone.
 *
 * Sequences start in the order they came, by turns of those that were asked for together, as far as
 * the memory for their KV caches goes. When a growing one needs more than there is, the one that
 * came last is put back and read again later.
 */
export class GenerationBatch {
  readonly #model: LanguageModel;
  readonly #sequences: number;
  readonly #sequenceModel: SequenceModel;
  readonly #pool: SessionPool;
  readonly #bytesPerToken: number;
  readonly #waiting: Member[] = [];
  readonly #running = new Set<Running>();
  #wake: () => void = () => undefined;
  #isPumping = false;
  #order = 0;
  #round = 0;
  #prefillTokensPerSecond: number | null = null;
  #sharedTokens = 0;
  #preemptions = 0;

  constructor(options: BatchOptions) {
    const { model, tokenizer, contextLength, sequences } = options;
    this.#model = model;
    this.#sequences = Math.min(sequences, ENGINE_LIMITS.batchedSequences);
    this.#sequenceModel = sequenceModel({ model, tokenizer, contextLength });
    this.#bytesPerToken = model.kvCacheBytes(1);
    this.#pool = new SessionPool({
      model,
      contextLength: this.#sequenceModel.contextLength,
      budgetTokens: Math.floor(options.keyValueBytes / this.#bytesPerToken),
      idleSessions: this.#sequences,
    });
  }

  get statistics(): BatchStatistics {
    return {
      runningSequences: this.#running.size,
      waitingSequences: this.#waiting.length,
      keyValueBytes: this.#pool.reservedTokens * this.#bytesPerToken,
      keyValueBudgetBytes: this.#pool.budgetTokens * this.#bytesPerToken,
      sharedTokens: this.#sharedTokens,
      preemptions: this.#preemptions,
    };
  }

  /**
   * Continues a prompt token by token, together with the other texts. Leaving the loop early, or
   * aborting the signal, ends it at once and frees its KV cache.
   *
   * @throws EngineError as {@link generate} does.
   */
  async *generate(request: BatchRequest): AsyncGenerator<GeneratedPiece> {
    const { signal } = request;
    const order = this.#order++;
    const member: Member = {
      order,
      group: request.group ?? `${order}`,
      sequence: new GenerationSequence(this.#sequenceModel, request),
      pieces: new PieceQueue({ capacity: PIECES_AHEAD, onTaken: () => this.#pump() }),
      left: new AbortController(),
      lease: null,
      prefilledInRound: -1,
    };
    const cancel = (): void => {
      const message = 'the caller cancelled the work';
      this.#fail(member, new EngineError('Cancelled', message, { cause: signal?.reason }));
    };
    if (signal?.aborted === true) cancel();
    else this.#enter(member);
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      yield* member.pieces;
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#leave(member);
    }
  }

  /** Ends every sequence with `ModelClosed` and frees all KV caches; the model is not closed. */
  close(): void {
    const closed = new EngineError('ModelClosed', 'the model has been closed');
    for (const member of [...this.#waiting, ...this.#running]) this.#fail(member, closed);
    this.#pool.clear();
  }

  #enter(member: Member): void {
    this.#waiting.push(member);
    this.#pump();
  }

  /** Takes a sequence out, wherever it is. */
  #leave(member: Member): void {
    member.left.abort();
    const at = this.#waiting.indexOf(member);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (!isRunning(member)) return;
    this.#running.delete(member);
    this.#pool.free(member.lease);
    stopRunning(member);
    this.#pump();
  }

  #fail(member: Member, error: unknown): void {
    member.pieces.fail(error);
    this.#leave(member);
  }

  /** Goes on with the rounds, or begins them. */
  #pump(): void {
    this.#wake();
    if (this.#isPumping) return;
    this.#isPumping = true;
    void this.#runRounds();
  }

  /** Never rejects: what goes wrong is the members' failure. */
  async #runRounds(): Promise<void> {
    // All who come in this turn of the event loop start together.
    await Promise.resolve();
    while (this.#waiting.length + this.#running.size > 0) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#admit();
      if (!(await this.#runRound())) await woken;
    }
    this.#isPumping = false;
  }

  #admit(): void {
    while (this.#running.size < this.#sequences) {
      const member = chooseAdmitted(this.#waiting, [...this.#running]);
      if (member === null) return;
      const { tokens, remaining, contextLength } = member.sequence;
      const reserve = tokens.length + Math.min(remaining, HEADROOM_TOKENS);
      try {
        const share = !member.sequence.wantsScores;
        const lease = this.#pool.take({ tokens, contextLength, reserve, share });
        if (lease === null) return;
        this.#sharedTokens += lease.session.length;
        this.#waiting.splice(this.#waiting.indexOf(member), 1);
        this.#running.add(Object.assign(member, { lease, prefilledInRound: -1 }));
      } catch (error) {
        this.#fail(member, error);
      }
    }
  }

  /** @returns whether there was anything to run. */
  async #runRound(): Promise<boolean> {
    this.#round++;
    const members = [...this.#running].map((member) => ({ member, ...viewOf(member) }));
    const { prefill, step } = planRound(members, {
      blockTokens: ENGINE_LIMITS.prefillTokens,
      stallSeconds: STALL_SECONDS,
      tokensPerSecond: this.#prefillTokensPerSecond,
    });
    if (prefill !== null) await this.#prefill(prefill.member.member, prefill.tokens);
    const ready = step.map(({ member }) => member).filter((member) => this.#grow(member));
    // Growing may have put another one back, and a reader may have left meanwhile.
    const stepping = ready.filter((member) => this.#running.has(member));
    if (stepping.length > 0) await this.#step(stepping);
    return prefill !== null || step.length > 0;
  }

  async #prefill(member: Running, count: number): Promise<void> {
    const { session } = member.lease;
    const { sequence } = member;
    // The logits of all of a block's positions take memory.
    const size = sequence.wantsScores ? Math.min(count, SCORED_BLOCK_TOKENS) : count;
    const block = sequence.tokens.slice(session.length, session.length + size);
    member.prefilledInRound = this.#round;
    const startMs = performance.now();
    try {
      const logits = sequence.wantsScores
        ? await this.#scorePrompt(member, block)
        : await session.append(block, { signal: member.left.signal });
      const rate = block.length / Math.max(1e-6, (performance.now() - startMs) / 1000);
      this.#prefillTokensPerSecond = rate;
      const isWhole = this.#running.has(member) && session.length === sequence.tokens.length;
      if (isWhole) this.#take(member, logits);
    } catch (error) {
      this.#fail(member, error);
    }
  }

  /** @returns logits of the block's last position. */
  async #scorePrompt(member: Running, block: readonly number[]): Promise<Float32Array> {
    const { session } = member.lease;
    const start = session.length;
    const size = this.#sequenceModel.vocabularySize;
    const logits = await session.allLogits(block);
    const rows = block.map((_, row) => logits.subarray(row * size, (row + 1) * size));
    member.sequence.scorePrompt({ start, rows });
    return rows.at(-1) ?? logits;
  }

  async #step(members: readonly Running[]): Promise<void> {
    const sessions = members.map((member) => member.lease.session);
    const tokens = members.map((member) => member.sequence.tokens.at(-1) ?? 0);
    try {
      const logits = await this.#model.step(sessions, tokens);
      members.forEach((member, i) => {
        const own = logits[i];
        if (own !== undefined && this.#running.has(member)) this.#take(member, own);
      });
    } catch (error) {
      for (const member of members) this.#fail(member, error);
    }
  }

  #take(member: Running, logits: Float32Array): void {
    try {
      for (const piece of member.sequence.take(logits)) member.pieces.push(piece);
    } catch (error) {
      this.#fail(member, error);
      return;
    }
    if (!member.sequence.finished) return;
    this.#running.delete(member);
    this.#pool.keep(member.lease, member.sequence.tokens);
    stopRunning(member);
    member.pieces.end();
  }

  /** @returns whether there is memory for its last token; if not, it has been put back. */
  #grow(member: Running): boolean {
    while (this.#running.has(member)) {
      if (this.#pool.grow(member.lease, member.sequence.tokens.length)) return true;
      this.#preempt(choosePreempted([...this.#running]) ?? member);
    }
    return false;
  }

  #preempt(member: Running): void {
    this.#preemptions++;
    this.#running.delete(member);
    this.#pool.free(member.lease);
    stopRunning(member);
    this.#waiting.push(member);
  }
}

function viewOf(member: Running): MemberView {
  const { sequence, pieces, order, prefilledInRound } = member;
  const lacking = sequence.tokens.length - member.lease.session.length;
  return { lacking, paused: pieces.full, order, prefilledInRound };
}

function isRunning(member: Member): member is Running {
  return member.lease !== null;
}

function stopRunning(member: Member): void {
  member.lease = null;
}
