/** A mistake that somebody could make, and that the simulation must find. */
export interface PlantedBug {
  readonly name: string;
  readonly file: string;
  /** Stands in the file once. */
  readonly find: string;
  readonly replace: string;
}

const ROLLOUTS = 'apps/controller/src/rollouts';

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'one device more than maxUnavailable is let activate',
    file: `${ROLLOUTS}/hold.plan.ts`,
    find: "member.state === 'Updating' && used < limit",
    replace: "member.state === 'Updating' && used <= limit",
  },
  {
    name: 'a paused rollout goes on starting devices',
    file: `${ROLLOUTS}/start.plan.ts`,
    find: 'if (of.isPaused) return',
    replace: 'if (of.isPaused && false) return',
  },
  {
    name: 'the model that serves meanwhile is forgotten in the sum of memory',
    file: `${ROLLOUTS}/fitness.plan.ts`,
    find: 'if (ownBytes + runningBytes > memoryBytes) {',
    replace: 'if (ownBytes > memoryBytes) {',
  },
  {
    name: 'a chunk that was lost is taken to be on its way for ever',
    file: 'libs/distribution/src/distribution.plan.ts',
    find: 'const isOld = !isMoving && nowMs - flight.sentMs >= GRACE_MS;',
    replace: 'const isOld = false;',
  },
  {
    name: 'reports are ordered by their number alone, not by the start of the agent first',
    file: 'apps/controller/src/devices/device.plan.ts',
    find: 'if (than === null || report.boot !== than.boot) return',
    replace: 'if (than === null) return',
  },
  {
    name: 'a model serves before its probe has run',
    file: 'apps/agent/src/update.table.ts',
    find: "Loaded: to('Testing')",
    replace: "Loaded: to('Activating')",
  },
  {
    name: 'the agent acts before its journal is written',
    file: 'apps/agent/src/agent.ts',
    find: 'await this.#save(() => this.#restoreAtOnce(outcome.effects));',
    replace: '',
  },
  {
    name: 'an older desired state that comes late is obeyed',
    file: 'apps/agent/src/update.table.ts',
    find: 'if (!isNewer(desired, situation.next ?? situation.desired)) {',
    replace: 'if (desired.revision === (situation.next ?? situation.desired)?.revision) {',
  },
];
