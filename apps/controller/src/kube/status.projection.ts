import { type Condition, conditionSchema, type Owner, withCondition } from '@entrofleet/protocol';
import { z } from 'zod';
import type { KubeObject } from './kube.object.ts';
import type { Verdict } from './sync.plan.ts';

/** What every status of ours has. */
export interface StatusOfOurs {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
}

export type PublishedStatus = Readonly<Record<string, unknown>>;

/** As it was published: what is empty is absent. */
const publishedConditionSchema = conditionSchema.extend({
  message: conditionSchema.shape.message.default(''),
  observedGeneration: conditionSchema.shape.observedGeneration.default(0),
});

const publishedSchema = z.object({
  observedGeneration: z.number().catch(0),
  conditions: z.array(publishedConditionSchema.catch(unreadable)).catch([]),
});

/** A condition that somebody else wrote, in another form, is as good as none. */
function unreadable(): Condition {
  const common = { type: 'Unreadable', status: 'Unknown', reason: 'Unreadable' } as const;
  return { ...common, message: '', lastTransitionTime: '', observedGeneration: 0 };
}

/**
 * The status of a custom resource from that of our object. Generations are those of the resource:
 * ours count otherwise, so what we have observed of an older one stays as it was published last.
 *
 * @param of `owner`: of the object whose status this is; null: it is not the resource's
 * @returns without fields that are null or empty texts, which mean the same when they are absent;
 *   there are API servers that take an empty text for null
 */
export function projectedStatus(
  status: StatusOfOurs,
  of: { resource: KubeObject; owner: Owner | null; verdict: Verdict; now: string },
): PublishedStatus {
  const { resource, owner, verdict, now } = of;
  const published = publishedSchema.parse(resource.status ?? {});
  const translated = (ours: number, last: number | undefined): number =>
    owner !== null && ours >= owner.appliedGeneration ? owner.generation : (last ?? 0);
  const conditions = status.conditions.map((condition) => {
    const last = published.conditions.find(({ type }) => type === condition.type);
    const observedGeneration = translated(condition.observedGeneration, last?.observedGeneration);
    return { ...condition, observedGeneration };
  });
  const said = verdictConditions(verdict);
  const before = published.conditions.filter(({ type }) => said.some((each) => each.type === type));
  const { generation } = resource.metadata;
  const verdicts = said.reduce<Condition[]>(
    (all, condition) => withCondition(all, { ...condition, now, observedGeneration: generation }),
    before,
  );
  const observedGeneration = translated(status.observedGeneration, published.observedGeneration);
  const all = { ...status, observedGeneration, conditions: [...conditions, ...verdicts] };
  return withoutVoids(all) as PublishedStatus;
}

type SaidCondition = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function verdictConditions({ synced, notDeleted }: Verdict): SaidCondition[] {
  const said: SaidCondition[] = [
    synced === 'Applied'
      ? { type: 'Synced', status: 'True', reason: 'Applied', message: '' }
      : { type: 'Synced', status: 'False', ...synced },
  ];
  if (notDeleted !== undefined) said.push({ type: 'Deleted', status: 'False', ...notDeleted });
  return said;
}

const VOID: ReadonlySet<unknown> = new Set([null, undefined, '']);

function withoutVoids(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutVoids);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, child]) => !VOID.has(child));
  return Object.fromEntries(kept.map(([name, child]) => [name, withoutVoids(child)]));
}
