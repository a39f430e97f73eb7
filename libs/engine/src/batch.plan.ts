/** What the plan of one round needs to know of a sequence that has its KV cache. */
export interface MemberView {
  /** Tokens that are not in its KV cache yet. One: the next pass draws from its logits. */
  readonly lacking: number;
  /** Its reader is so far behind that it must wait. */
  readonly paused: boolean;
  /** Round in which a block of its prompt was read last; -1: none yet. */
  readonly prefilledInRound: number;
  /** Higher for those that came later. */
  readonly order: number;
}

export interface PrefillRules {
  /** Tokens in one block at most. */
  readonly blockTokens: number;
  /** How long others may wait for one block, in seconds. */
  readonly stallSeconds: number;
  /** Tokens per second that blocks have been read with; null: not known yet. */
  readonly tokensPerSecond: number | null;
}

export interface Round<Member> {
  /** Gets a block of its prompt read. */
  readonly prefill: { readonly member: Member; readonly tokens: number } | null;
  /** Get one token each, in one pass over the weights. */
  readonly step: readonly Member[];
}

/** A block smaller than this reads all weights for too little. */
const LEAST_BLOCK_TOKENS = 16;

/**
 * Decides what runs next: one block of one prompt, by turns among those being read, then one token
 * for every sequence that is ready. While sequences are decoding, a block is only as large as can
 * be read within the stall limit.
 */
export function planRound<Member extends MemberView>(
  members: readonly Member[],
  rules: PrefillRules,
): Round<Member> {
  const active = members.filter((member) => !member.paused);
  const step = active.filter((member) => member.lacking === 1);
  const next = active
    .filter((member) => member.lacking > 1)
    .sort((a, b) => a.prefilledInRound - b.prefilledInRound || a.order - b.order)[0];
  if (next === undefined) return { prefill: null, step };
  const most = step.length === 0 ? rules.blockTokens : patientBlock(rules);
  return { prefill: { member: next, tokens: Math.min(next.lacking, most) }, step };
}

function patientBlock({ blockTokens, stallSeconds, tokensPerSecond }: PrefillRules): number {
  const affordable = Math.floor((tokensPerSecond ?? 0) * stallSeconds);
  return Math.min(blockTokens, Math.max(LEAST_BLOCK_TOKENS, affordable));
}

/** What deciding who starts needs to know of a sequence. */
export interface GroupedView {
  /** Sequences that were asked for together have the same. */
  readonly group: string;
  /** Higher for those that came later. */
  readonly order: number;
}

/**
 * Who starts next: the first that came of the group that has the fewest running, so that whoever
 * asks for many texts at once does not keep out those who ask for one. Nobody waits for ever: a
 * group without a running sequence goes before those with one.
 */
export function chooseAdmitted<Member extends GroupedView>(
  waiting: readonly Member[],
  running: readonly Pick<GroupedView, 'group'>[],
): Member | null {
  const runningOf = (group: string) => running.filter((member) => member.group === group).length;
  const [first] = waiting
    .map((member) => ({ member, load: runningOf(member.group) }))
    .sort((a, b) => a.load - b.load || a.member.order - b.member.order);
  return first?.member ?? null;
}

/**
 * Which sequence gives its KV cache up when there is no memory left: the one that came last, since
 * it has the least to lose. It is read again later.
 */
export function choosePreempted<Member extends Pick<MemberView, 'order'>>(
  members: readonly Member[],
): Member | null {
  return members.reduce<Member | null>(
    (last, member) => (last === null || member.order > last.order ? member : last),
    null,
  );
}
