import type { Target } from '@entrofleet/protocol';
import type { ServiceCondition } from './service.notices.ts';
import type { Situation } from './update.states.ts';

/** What the service manager is told of the agent: `systemctl status` shows the text. */
export function serviceCondition(use: {
  readonly situation: Situation;
  readonly serving: Target | null;
  /** What the last process left has been taken up: only now it is known what is to be loaded. */
  readonly hasResumed: boolean;
  readonly isListening: boolean;
}): ServiceCondition {
  const { situation, serving, hasResumed, isListening } = use;
  const isIdle = hasResumed && !situation.restoring;
  return {
    isReady: isListening && (serving !== null || isIdle),
    isHealthy: isListening,
    text: [servingText(situation, serving), ...updateText(situation, serving)].join('; '),
  };
}

function servingText({ restoring, active, lost }: Situation, serving: Target | null): string {
  if (serving !== null) return `serving ${nameOf(serving)}`;
  if (!restoring && lost !== null) {
    const why = `${lost.failure.reason}: ${lost.failure.message}`;
    return `no model: ${nameOf(lost.target)} cannot be loaded again and is tried on: ${why}`;
  }
  return restoring && active !== null ? `loading ${nameOf(active)}` : 'no model to serve yet';
}

function updateText({ state, desired, failure }: Situation, serving: Target | null): string[] {
  const target = desired?.target ?? null;
  if (failure !== null) return [`${failure.reason}: ${failure.message}`];
  if (target === null || target.artifact.id === serving?.artifact.id) return [];
  return [`${state}: ${nameOf(target)}`];
}

function nameOf({ model, variant }: Target): string {
  return `${model} ${variant}`;
}
