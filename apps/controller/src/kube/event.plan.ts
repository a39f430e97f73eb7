import type { FleetEvent, Owner } from '@entrofleet/protocol';
import { MODEL_RESOURCE, ROLLOUT_RESOURCE } from './custom.resources.ts';
import type { KubeEvent, ResourceName } from './kube.client.ts';

/** What one object may still say for one reason; etcd is no log. */
export interface EventAllowance {
  readonly tokens: number;
  /** When the tokens were counted, of performance.now(). */
  readonly atMs: number;
  /** Events that were not told since the last one that was. */
  readonly leftOut: number;
}

export type EventAllowances = ReadonlyMap<string, EventAllowance>;

/** At once, */
const BURST = 10;
/** and then one in so long. */
const REFILL_MS = 30_000;

const RESOURCES: Readonly<Record<FleetEvent['object']['kind'], ResourceName | undefined>> = {
  Model: MODEL_RESOURCE,
  Rollout: ROLLOUT_RESOURCE,
  Device: undefined,
};

export function eventKey({ kind, name }: FleetEvent['object']): string {
  return `${kind}/${name}`;
}

/**
 * Which events Kubernetes is told of. Names come from the events' ids, so that an event that is
 * published again is there already. Of many with one reason the last one stands for the rest; what
 * is left out is counted in the next one that is not.
 *
 * @param events in the order in which they happened
 * @param of `owners` by eventKey: custom resources that own the objects
 */
export function planEvents(
  events: readonly FleetEvent[],
  of: { owners: ReadonlyMap<string, Owner>; allowances: EventAllowances; nowMs: number },
): { publish: readonly KubeEvent[]; allowances: EventAllowances } {
  const groups = new Map<string, FleetEvent[]>();
  for (const event of events) {
    if (!of.owners.has(eventKey(event.object))) continue;
    const key = `${eventKey(event.object)} ${event.reason}`;
    groups.set(key, [...(groups.get(key) ?? []), event]);
  }
  const allowances = new Map(
    [...of.allowances].map(([key, known]) => [key, refilled(known, of.nowMs)]),
  );
  const told: { event: FleetEvent; leftOut: number }[] = [];
  for (const [key, group] of groups) {
    const known = allowances.get(key) ?? { tokens: BURST, atMs: of.nowMs, leftOut: 0 };
    const telling = Math.min(group.length, Math.floor(known.tokens));
    const leftOut = known.leftOut + group.length - telling;
    const last = telling === 0 ? undefined : group.at(-1);
    const tokens = known.tokens - telling;
    allowances.set(key, { tokens, atMs: of.nowMs, leftOut: last === undefined ? leftOut : 0 });
    if (last === undefined) continue;
    told.push(...group.slice(0, telling - 1).map((event) => ({ event, leftOut: 0 })));
    told.push({ event: last, leftOut });
  }
  const publish = told
    .toSorted((a, b) => a.event.id - b.event.id)
    .flatMap(({ event, leftOut }) => kubeEvent(event, leftOut, of.owners) ?? []);
  const kept = [...allowances].filter(([, { tokens, leftOut }]) => tokens < BURST || leftOut > 0);
  return { publish, allowances: new Map(kept) };
}

function refilled(known: EventAllowance, nowMs: number): EventAllowance {
  const tokens = Math.min(BURST, known.tokens + (nowMs - known.atMs) / REFILL_MS);
  return { ...known, tokens, atMs: nowMs };
}

function kubeEvent(
  { id, at, object, type, reason, message }: FleetEvent,
  leftOut: number,
  owners: ReadonlyMap<string, Owner>,
): KubeEvent | undefined {
  const owner = owners.get(eventKey(object));
  const resource = RESOURCES[object.kind];
  if (owner === undefined || resource === undefined) return undefined;
  const { kind, plural } = resource;
  const more = leftOut === 0 ? '' : ` (and ${leftOut} more: entrofleet get events)`;
  return {
    name: `${owner.name}.${id.toString(16)}`,
    about: { kind, plural, name: owner.name, uid: owner.uid },
    type,
    reason,
    message: `${message}${more}`,
    at,
  };
}
