import type { LanguageModel, ModelSession } from './language.model.ts';

/** Memory is taken in pieces of so many tokens. */
const PAGE_TOKENS = 64;
/** A shorter common beginning is not worth giving up what another session holds. */
const LEAST_SHARED_TOKENS = 16;

/** A session in use, with the memory it may fill; only the pool changes it. */
export interface SessionLease {
  readonly session: ModelSession;
  /** Tokens whose keys and values it may hold. */
  reservedTokens: number;
}

export interface TakeOptions {
  readonly tokens: readonly number[];
  /** What the sequence may come to at most, prompt and completion together. */
  readonly contextLength: number;
  /** Tokens to have memory for at once. */
  readonly reserve: number;
  /** Whether tokens that are in memory need not be read. */
  readonly share: boolean;
}

interface Idle extends SessionLease {
  readonly tokens: readonly number[];
}

/**
 * The KV caches of one model within a budget of tokens. Caches of ended sequences are kept, as far
 * as nobody else needs the memory, because a chat's next turn begins with the last one's tokens.
 *
 * A session is made as long as it may get: its memory becomes resident only as it is filled.
 */
export class SessionPool {
  readonly #model: LanguageModel;
  /** Rising; the last one is the whole context. */
  readonly #lengths: readonly number[];
  readonly #budgetTokens: number;
  readonly #idleMost: number;
  /** Least recently used first. */
  readonly #idle: Idle[] = [];
  #reservedTokens = 0;

  constructor(options: {
    model: LanguageModel;
    contextLength: number;
    /** At least one whole context is always granted. */
    budgetTokens: number;
    /** Ended sequences whose caches are kept at most. */
    idleSessions: number;
  }) {
    this.#model = options.model;
    this.#lengths = sessionLengths(options.model, options.contextLength);
    this.#budgetTokens = Math.max(options.budgetTokens, pages(options.contextLength));
    this.#idleMost = options.idleSessions;
  }

  get budgetTokens(): number {
    return this.#budgetTokens;
  }

  /** Tokens that sessions may hold, in use or idle. */
  get reservedTokens(): number {
    return this.#reservedTokens;
  }

  /**
   * A session for a sequence, with the longest beginning of `tokens` that an idle one holds, but
   * always less than all of them. null: there is not enough memory now.
   * @throws EngineError `OutOfMemory`, `ModelClosed`.
   */
  take(use: TakeOptions): SessionLease | null {
    const length = this.#lengths.find((most) => most >= use.contextLength) ?? use.contextLength;
    const wanted = pages(Math.min(use.reserve, length));
    const found = use.share ? this.#findShared(use.tokens, length) : null;
    if (found !== null) this.#idle.splice(this.#idle.indexOf(found.idle), 1);
    const owned = found?.idle.reservedTokens ?? 0;
    if (!this.#makeRoom(Math.max(0, wanted - owned))) {
      if (found !== null) this.#idle.push(found.idle);
      return null;
    }
    const session = found?.idle.session ?? this.#model.createSession(length);
    if (found !== null) session.truncate(found.shared);
    const reservedTokens = Math.max(wanted, owned);
    this.#reservedTokens += reservedTokens - owned;
    return { session, reservedTokens };
  }

  /** @returns whether the session may hold `tokens`; false: there is not enough memory now. */
  grow(lease: SessionLease, tokens: number): boolean {
    const more = pages(tokens) - lease.reservedTokens;
    if (more <= 0) return true;
    if (!this.#makeRoom(more)) return false;
    lease.reservedTokens += more;
    this.#reservedTokens += more;
    return true;
  }

  /** Keeps the cache of an ended sequence; no call of its session may be running. */
  keep(lease: SessionLease, tokens: readonly number[]): void {
    const { session, reservedTokens } = lease;
    this.#idle.push({ session, reservedTokens, tokens: tokens.slice(0, session.length) });
    while (this.#idle.length > this.#idleMost) this.#evict();
  }

  /** Frees the cache, once a running call is done with it. */
  free(lease: SessionLease): void {
    this.#reservedTokens -= lease.reservedTokens;
    lease.session.close();
  }

  /** Frees the idle caches. */
  clear(): void {
    while (this.#idle.length > 0) this.#evict();
  }

  #findShared(tokens: readonly number[], length: number): { idle: Idle; shared: number } | null {
    let best: { idle: Idle; shared: number } | null = null;
    for (const idle of this.#idle.filter(({ session }) => session.contextLength === length)) {
      const shared = Math.min(sharedLength(idle.tokens, tokens), tokens.length - 1);
      // What diverges early belongs to another conversation, which may go on.
      if (shared < LEAST_SHARED_TOKENS || shared * 2 < idle.tokens.length) continue;
      if (best === null || shared > best.shared) best = { idle, shared };
    }
    return best;
  }

  #makeRoom(tokens: number): boolean {
    while (this.#reservedTokens + tokens > this.#budgetTokens) {
      if (this.#idle.length === 0) return false;
      this.#evict();
    }
    return true;
  }

  #evict(): void {
    const idle = this.#idle.shift();
    if (idle === undefined) return;
    this.#reservedTokens -= idle.reservedTokens;
    idle.session.close();
  }
}

/**
 * Long-rope has one set of frequencies for sessions up to its original context and one for longer
 * ones, so a sequence that stays within it gets a session that does.
 */
function sessionLengths({ config }: LanguageModel, contextLength: number): readonly number[] {
  const { scaling } = config.rope;
  const short = scaling.kind === 'longrope' ? scaling.originalContextLength : contextLength;
  return short < contextLength ? [short, contextLength] : [contextLength];
}

function pages(tokens: number): number {
  return Math.ceil(tokens / PAGE_TOKENS) * PAGE_TOKENS;
}

function sharedLength(one: readonly number[], other: readonly number[]): number {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one[length] === other[length]) length++;
  return length;
}
