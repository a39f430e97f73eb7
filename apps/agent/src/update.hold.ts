import type { Hold } from '@entrofleet/protocol';
import type { Situation } from './update.states.ts';

/** How far the controller lets the update in progress go. */
export function holdOf({ desired }: Situation): Hold {
  return desired?.hold ?? 'None';
}

/**
 * Nothing may be fetched. What is fetched already is verified all the same, and waits as Staged:
 * a device that may not even download may not activate what it happens to have complete.
 */
export function holdsDownload(situation: Situation): boolean {
  return holdOf(situation) === 'Download';
}
