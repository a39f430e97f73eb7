import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  nextStep,
  type Refusal,
  type ResourceFacts,
  type StoredFacts,
  type SyncFacts,
  type SyncStep,
} from './sync.plan.ts';

const FAULT = { reason: 'Invalid', message: '/spec: bad' };
const FOREIGN = { reason: 'OwnedByRest', message: 'not yours' };
const NEW: ResourceFacts = { isDeleting: false, hasFinalizer: false, fault: undefined };
const HELD: ResourceFacts = { ...NEW, hasFinalizer: true };
const OWN: StoredFacts = { isItsOwn: true, isOfItsName: true, isApplied: true, fault: undefined };
const OLD: StoredFacts = { ...OWN, isApplied: false };
const NAMESAKE: StoredFacts = { ...OLD, isItsOwn: false };
const ANOTHERS: StoredFacts = { ...NAMESAKE, isOfItsName: false, fault: FOREIGN };
const refusal = (attempt: Refusal['attempt']): Refusal => ({
  attempt,
  fault: { reason: 'SourceMissing', message: 'no folder' },
  retryAtMs: 100,
});

const step = (facts: Partial<SyncFacts>) =>
  nextStep({ resource: undefined, stored: undefined, refusal: undefined, nowMs: 0, ...facts });

describe('nextStep', () => {
  it('holds a resource before it makes the object, then says so', () => {
    expect(step({ resource: NEW })).toEqual({ kind: 'AddFinalizer' });
    expect(step({ resource: HELD })).toEqual({ kind: 'Apply' });
    expect(step({ resource: HELD, stored: OLD })).toEqual({ kind: 'Apply' });
    const applied = { kind: 'WriteStatus', verdict: { synced: 'Applied' } };
    expect(step({ resource: HELD, stored: OWN })).toEqual(applied);
  });

  it('says what is wrong, and touches nothing', () => {
    const invalid = { ...NEW, fault: FAULT };
    expect(step({ resource: invalid })).toMatchObject({ verdict: { synced: FAULT } });
    expect(step({ resource: NEW, stored: ANOTHERS })).toMatchObject({
      verdict: { synced: FOREIGN },
    });
  });

  it('tries again what was turned down, when its time has come', () => {
    const facts = { resource: HELD, stored: OLD, refusal: refusal('Apply') };
    expect(step(facts)).toEqual({
      kind: 'WriteStatus',
      verdict: { synced: refusal('Apply').fault },
      againAtMs: 100,
    });
    expect(step({ ...facts, nowMs: 100 })).toEqual({ kind: 'Apply' });
  });

  it('deletes the object first and lets go of the resource then', () => {
    const dying = { ...HELD, isDeleting: true };
    expect(step({ resource: dying, stored: OLD })).toEqual({ kind: 'Remove' });
    expect(step({ resource: dying })).toEqual({ kind: 'RemoveFinalizer' });
    expect(step({ resource: { ...dying, hasFinalizer: false } })).toBeUndefined();
    const inUse = { resource: dying, stored: OLD, refusal: refusal('Remove') };
    expect(step(inUse)).toMatchObject({
      kind: 'WriteStatus',
      verdict: { notDeleted: { reason: 'SourceMissing' } },
    });
    expect(step({ ...inUse, nowMs: 100 })).toEqual({ kind: 'Remove' });
  });

  it('deletes nothing that is not the very resource’s own', () => {
    const dying = { ...HELD, isDeleting: true };
    for (const stored of [NAMESAKE, ANOTHERS]) {
      expect(step({ resource: dying, stored })).toEqual({ kind: 'RemoveFinalizer' });
    }
  });

  it('releases what a missing resource owned, and nothing else', () => {
    expect(step({ stored: OWN })).toEqual({ kind: 'Release' });
    expect(step({ stored: ANOTHERS })).toBeUndefined();
    expect(step({})).toBeUndefined();
  });
});

/** What steps do, in a world without faults. */
function after(facts: SyncFacts, { kind }: SyncStep): SyncFacts {
  const { resource, stored } = facts;
  switch (kind) {
    case 'AddFinalizer':
      return { ...facts, resource: resource && { ...resource, hasFinalizer: true } };
    case 'RemoveFinalizer':
      return { ...facts, resource: resource && { ...resource, hasFinalizer: false } };
    case 'Apply':
      return { ...facts, stored: OWN };
    case 'Remove':
      return { ...facts, stored: undefined };
    case 'Release':
      return { ...facts, stored: stored && { ...stored, isItsOwn: false, isOfItsName: false } };
    case 'WriteStatus':
      return facts;
  }
}

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const anyFacts: fc.Arbitrary<SyncFacts> = fc.record({
  resource: maybe(
    fc.record({
      isDeleting: fc.boolean(),
      hasFinalizer: fc.boolean(),
      fault: fc.constantFrom(undefined, FAULT),
    }),
  ),
  stored: maybe(fc.constantFrom(OWN, OLD, NAMESAKE, ANOTHERS)),
  refusal: maybe(fc.constantFrom(refusal('Apply'), refusal('Remove'))),
  nowMs: fc.constantFrom(0, 200),
});

describe('from whatever state there is', () => {
  it('settles after a few steps, and an object goes only when its own resource is deleted', () => {
    fc.assert(
      fc.property(anyFacts, (start) => {
        let facts = start;
        const kinds: string[] = [];
        for (let steps = 0; steps < 10; steps++) {
          const next = nextStep(facts);
          if (next === undefined || next.kind === 'WriteStatus') break;
          kinds.push(next.kind);
          facts = after(facts, next);
        }
        expect(kinds.length).toBeLessThan(4);
        const isDeletedByOwner = start.resource?.isDeleting === true && start.stored?.isItsOwn;
        if (kinds.includes('Remove')) expect(isDeletedByOwner).toBe(true);
        if (start.resource === undefined && start.stored !== undefined) {
          expect(facts.stored).toBeDefined();
        }
        const last = nextStep(facts);
        if (last?.kind === 'WriteStatus') expect(facts.resource).toBeDefined();
      }),
    );
  });
});
