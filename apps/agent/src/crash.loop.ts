import type { Target } from '@entrofleet/protocol';
import type { Failure } from './errors.ts';
import type { Situation } from './update.states.ts';

/** Of an update whose new model has taken the agent down too often. */
export function crashLoop(situation: Situation): Failure {
  const target = situation.desired?.target ?? null;
  const serving = situation.active === null ? 'no model' : nameOf(situation.active);
  return {
    reason: 'CrashLoop',
    message:
      `the agent died ${situation.crashes} times while ${target === null ? 'a model' : nameOf(target)} ` +
      `was decoded, tested or activated; it goes on with ${serving}`,
  };
}

export function nameOf({ model, variant }: Target): string {
  return `${model} ${variant}`;
}
