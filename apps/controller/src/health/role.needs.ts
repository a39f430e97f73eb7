import type { Role } from '../config.ts';

export const DEPENDENCIES = ['database', 'redis', 'broker'] as const;
export type Dependency = (typeof DEPENDENCIES)[number];

/**
 * What a process cannot do its work without. The REST API answers without Redis, as keys wait in
 * memory or come with the sweep, and without a broker, as the sweep publishes what was missed.
 */
const NEEDS: Readonly<Record<Role, readonly Dependency[]>> = {
  api: ['database'],
  worker: ['database', 'redis'],
  distributor: ['database', 'broker'],
  reconciler: ['database', 'redis', 'broker'],
  kubernetes: ['database'],
};

export function needsOf(roles: ReadonlySet<Role>): ReadonlySet<Dependency> {
  return new Set([...roles].flatMap((role) => NEEDS[role]));
}
