/** Why something of a rollout does not go on by itself now, and what makes it go on. */
export interface Stall {
  /** CamelCase, as conditions have it; docs/ROLLOUTS.md lists them. */
  readonly reason: string;
  readonly message: string;
  /** When it ends by itself; `null`: when somebody acts or a device does. */
  readonly until: string | null;
  /** The rollout counts as paused: somebody has to act. */
  readonly isPause: boolean;
  /** A pause that starts nothing, whatever is still at work. */
  readonly stopsAll?: boolean;
}

/** The earliest of some instants, of which any may be absent. */
export function earliest(instants: readonly (string | null)[]): string | null {
  return instants.filter((at) => at !== null).sort()[0] ?? null;
}

export function pausedBySpec(): Stall {
  const message = 'spec.paused is set; resume the rollout to go on';
  return { reason: 'Paused', message, until: null, isPause: true, stopsAll: true };
}
